"""The command line tool against a node: what it says that it does, it does."""

import json
import os
import resource
import signal
import subprocess

from cluster import Cluster, binary, check, check_equal, cli, patience, spawn, wait_for
from promises import promise

WIDE = 4  # partitions of the topics that messages are spread over


@promise()
def a_list_of_groups_leaves_none_out(folder):
    """2,500 groups of one partition, which are three pages of the node: `group list` names each, once."""
    with Cluster(folder, 1).start() as cluster:
        cluster.create("orders")
        done = cli("-s", cluster.urls, "bench", "commit", "--topic", "orders", "--groups", "2500", seconds=40)
        check_equal(done.returncode, 0, f"2,500 commits: {done.stderr[-300:]!r}")
        done = cli("-s", cluster.urls, "group", "list", "-o", "json")
        check_equal(done.returncode, 0, f"group list: {done.stderr[-300:]!r}")
        groups = json.loads(done.stdout)
        check_equal(len({group["group"] for group in groups}), 2500, "groups that are named")
        check_equal({group["partitions"] for group in groups}, {1}, "partitions of each")


def counts_of(node, topic):
    """How many messages each partition of a topic has."""
    return [node.get(f"/v1/topics/{topic}/partitions/{number}").json()["next_offset"] for number in range(WIDE)]


def produce_slowly(cluster, folder, topic, text, times):
    """The same lines again and again, each time when all before are acknowledged: so only the linger time ends a batch."""
    log_path, lines = os.path.join(folder, topic), text.count(b"\n")

    def acked():
        with open(log_path, "rb") as log:
            return log.read().count(b"\n")

    with open(log_path, "wb"):
        pass
    producer = spawn([binary(), "-s", cluster.urls, "produce", topic, "-K", ":", "--linger-ms", "1", "--acked-log", log_path],
                     stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for time in range(1, times + 1):
        producer.stdin.write(text)
        producer.stdin.flush()
        wait_for(lambda: acked() == lines * time, patience(10), f"{lines * time} acks")
    producer.stdin.close()
    check_equal(producer.wait(patience(10)), 0, "exit status of the slow producer")


@promise()
def batches_without_a_key_take_the_partitions_in_turns(folder):
    """Whatever ends a batch of `produce`, its number of messages, its bytes or the linger time: the next one goes to the
    next partition. Batches with keys, which end at the same time, change nothing of that."""
    with Cluster(folder, 1).start() as cluster:
        node = cluster.node(1)
        for topic in ("number", "bytes", "linger", "mixed"):
            cluster.create(topic, partitions=WIDE)

        def produce(topic, lines, *options):
            done = cli("-s", cluster.urls, "produce", topic, "--linger-ms", "60000", *options, input=lines)
            check_equal(done.returncode, 0, f"produce: {done.stderr[-300:]!r}")

        produce("number", b"m\n" * 64, "--batch", "4")
        check_equal(counts_of(node, "number"), [16] * WIDE, "messages of partitions, batches of 4 messages")
        produce("bytes", (b"m" * 1000 + b"\n") * 72, "--batch-bytes", "3500")
        check_equal(counts_of(node, "bytes"), [18] * WIDE, "messages of partitions, batches of 3 for their bytes")
        produce_slowly(cluster, folder, "linger", b"m\n", 8)
        check_equal(counts_of(node, "linger"), [2] * WIDE, "messages of partitions, batches of one for the linger time")
        produce_slowly(cluster, folder, "mixed", b"".join(b"k%d:x\n" % key for key in range(40)) + b"m\n", 8)
        parts = [[value for _, value in node.read_all("mixed", number)] for number in range(WIDE)]
        check(all("x" in part for part in parts), f"keys in every partition: {counts_of(node, 'mixed')}")
        check_equal([part.count("m") for part in parts], [2] * WIDE, "messages without a key beside such with one")


def completed(*words):
    """What bash offers for the last of these words behind `raftmq`."""
    script = f"""eval "$('{binary()}' completion bash)"
                COMP_WORDS=(raftmq "$@"); COMP_CWORD=$#; _raftmq; printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, timeout=patience(10))
    check_equal(done.returncode, 0, f"completion: {done.stderr!r}")
    return done.stdout.decode().split()


@promise()
def completion_offers_words_that_are_verbs(folder):
    """Every word that bash offers behind a noun is a verb whose help can be read; flags of a verb with two names are
    offered, too."""
    for noun in ("topic", "group", "cluster", "bench", "log"):
        words = completed(noun, "")
        check(len(words) > 2, f"words behind {noun}: {words}")
        for word in words:
            done = cli("help", noun, word)
            check_equal(done.returncode, 0, f"help of {noun} {word}: {done.stderr!r}")
            check(f"raftmq {noun} {word}".encode() in done.stdout, f"help of {noun} {word}: {done.stdout[:200]!r}")
    check("--server" in completed("topic", "describe", "--s"), "flags behind topic describe")


@promise()
def output_that_cannot_be_written_is_an_error_whatever_prints_it(folder):
    """Results go to a device that takes nothing: exit status 1, said once."""
    with Cluster(folder, 1).start() as cluster:
        cluster.create("orders")
        check_equal(cli("-s", cluster.urls, "produce", "orders", input=b"a message\n").returncode, 0, "produce")
        for command in (["cluster", "status"], ["cluster", "status", "-o", "json"], ["cluster", "status", "-o", "table"],
                        ["cluster", "status", "--watch=1s"], ["topic", "list"], ["consume", "orders", "-e"],
                        ["log", "verify", cluster.node(1).data]):
            flags = [] if command[0] == "log" else ["-s", cluster.urls]
            with open("/dev/full", "wb") as full:
                done = subprocess.run([binary(), *flags, *command], stdout=full, stderr=subprocess.PIPE, timeout=patience(10))
            check_equal(done.returncode, 1, f"exit status of {command}: {done.stderr!r}")
            check_equal(done.stderr.count(b"the output is incomplete: No space left on device"), 1, f"told by {command}")


@promise()
def where_a_group_goes_on_a_consumer_says_that_from_is_ignored(folder):
    """`consume -g G --from earliest` behind the first message: it goes on at the second, says so, and how to move it. Not
    said where G is new, or when --from is not given."""
    with Cluster(folder, 1).start() as cluster:
        cluster.create("orders")
        check_equal(cli("-s", cluster.urls, "produce", "orders", input=b"1\n2\n3\n").returncode, 0, "produce")

        def consume(*options):
            done = cli("-s", cluster.urls, "consume", "orders", "-g", "billing", "-n", "1", *options)
            check_equal(done.returncode, 0, f"consume: {done.stderr!r}")
            return done.stdout, b"--from is ignored in partition 0: group billing goes on at 1" in done.stderr, done.stderr

        check_equal(consume("--from", "earliest")[:2], (b"1\n", False), "message, and whether --from is said to be ignored")
        value, is_said, told = consume("--from", "earliest")
        check_equal((value, is_said), (b"2\n", True), f"message, and whether --from is said to be ignored: {told!r}")
        check(b"raftmq group seek billing --topic orders --to earliest --execute" in told, f"the way to move it: {told!r}")
        value, _, told = consume()
        check_equal((value, b"--from" in told), (b"3\n", False), f"message, and whether it speaks of --from: {told!r}")


@promise(quiet=True)
def a_producer_told_how_long_to_retry_waits_for_a_cluster_that_is_away_at_the_start(folder):
    """`produce --retry-for` is begun before there is a node, for longer than --timeout: what it was given is stored in the
    end. Without --retry-for it ends with its --timeout."""
    with Cluster(folder, 1).start() as cluster:
        cluster.create("orders")
        cluster.node(1).stop()
        begun = [spawn([binary(), "-s", cluster.urls, "--timeout", "1s", "produce", "orders", *options], stdin=subprocess.PIPE,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for options in ([], ["--retry-for", "40s"])]
        for process in begun:
            process.stdin.write(b"early\n")
            process.stdin.close()
        check_equal(begun[0].wait(patience(5)), 4, "exit status of the one without --retry-for")
        check_equal(begun[1].poll(), None, "exit status of the one with --retry-for, while nobody is there")
        cluster.start()
        check_equal(begun[1].wait(patience(20)), 0, "exit status of the one with --retry-for")
        check_equal([value for _, value in cluster.node(1).read_all("orders")], ["early"], "what is stored")


@promise()
def a_log_of_acknowledged_messages_that_cannot_be_written_is_an_error(folder):
    """`produce --acked-log` on a device that takes nothing, and into a file that may not grow: exit status 1, with the name
    of the file, long before everything is sent. With one that takes everything it has a line for each message."""
    with Cluster(folder, 1).start() as cluster:
        cluster.create("orders")
        lines = b"".join(b"%d\n" % number for number in range(20000))

        def produce(path, **options):
            return subprocess.run([binary(), "-s", cluster.urls, "produce", "orders", "--acked-log", path], input=lines,
                                  capture_output=True, timeout=patience(20), **options)

        def forbid_large_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

        small, whole = os.path.join(folder, "small"), os.path.join(folder, "whole")
        for path, options in (("/dev/full", {}), (small, {"preexec_fn": forbid_large_files})):
            done = produce(path, **options)
            check_equal(done.returncode, 1, f"exit status with {path}: {done.stderr!r}")
            check(f"cannot write {path}: ".encode() in done.stderr, f"told of {path}: {done.stderr!r}")
        stored = cluster.node(1).get("/v1/topics/orders/partitions/0").json()["next_offset"]
        check(stored < 2 * 20000, f"{stored} messages are stored: it went on without its log")
        done = produce(whole)
        check_equal(done.returncode, 0, f"exit status with {whole}: {done.stderr!r}")
        with open(whole, "rb") as log:
            check_equal(log.read().count(b"\n"), 20000, "lines of the log")
