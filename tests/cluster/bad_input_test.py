"""Bad input: each gets a clear error that says what to do, the right status and exit code, and loses nothing."""

import os
import shutil
import subprocess

from batch import batch
from cluster import Cluster, Skipped, check, check_equal, cli, patience, spawn, wait_for
from promises import promise

JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
BATCH = {"Content-Type": "application/vnd.raftmq.batch"}


def problem(answer, status, slug=None):
    """The answer is a problem of this status that explains itself."""
    check_equal(answer.status, status, f"status of {answer}")
    check_equal(answer.headers.get("content-type"), "application/problem+json", f"type of {answer}")
    body = answer.json()
    check_equal(body["status"], status, "status in the body")
    check(body["type"].startswith("urn:raftmq:problem:"), f"type {body['type']}")
    check(len(body.get("detail", "") or body["title"]) > 15, f"it says what is wrong: {body}")
    if slug:
        check_equal(body["type"], f"urn:raftmq:problem:{slug}", "kind of problem")
    return body


@promise(seconds=90)
def bad_requests_get_a_problem_and_lose_nothing(folder):
    """Unknown topic, bad names, oversize, malformed JSON, NDJSON and batches, wrong CRC, bad offsets, at every node; the
    topic keeps exactly what it had."""
    with Cluster(folder).start() as cluster:
        cluster.create("orders")
        check_equal(cluster.node(1).produce("orders", b"kept").status, 201, "produce")
        path = "/v1/topics/orders/messages"
        for node in cluster:
            problem(node.get("/v1/topics/nowhere"), 404, "topic-not-found")
            problem(node.fetch("nowhere"), 404, "topic-not-found")
            problem(node.produce("nowhere", b"x"), 404, "topic-not-found")
            problem(node.produce("orders", b"x", partition=9), 404)
            problem(node.get("/v1/nothing/here"), 404)
            problem(node.request("DELETE", "/v1/topics/nowhere"), 404, "topic-not-found")
            check_equal(node.request("DELETE", "/v1/cluster").status, 405, "a method that is not there")
            for name in ("a%20b", "..", "%2e%2e%2fpasswd", "x" * 300, "caf%C3%A9"):
                answer = node.request("PUT", f"/v1/topics/{name}", b'{"partitions":1}', JSON)
                check(answer.status in (400, 404, 422), f"topic name {name[:20]}: {answer}")
                problem(answer, answer.status)
            problem(node.request("PUT", "/v1/topics/new", b'{"partitions":', JSON), 400)
            problem(node.request("PUT", "/v1/topics/new", b'{"partitons":1}', JSON), 400)
            problem(node.request("PUT", "/v1/topics/new", b'{"partitions":0}', JSON), 400)
            problem(node.request("PUT", "/v1/topics/orders", b'{"partitions":4}', JSON), 409)
            problem(node.produce("orders", b"x" * (1 << 20) + b"more"), 413)
            problem(node.request("POST", path, b'{"messages":[{"value":"a"},', JSON), 400)
            problem(node.request("POST", path, b'{"messages":[{"valu":"a"}]}', JSON), 400)
            problem(node.request("POST", path, b'{"value":"a"}\n{"value":', NDJSON), 400)
            problem(node.request("POST", path, b"\xff\xfe not json", JSON), 400)
            good = batch([b"a", b"b"])
            for bad, what in ((good[:-1], "cut off"), (good + b"x", "trailing bytes"), (b"", "empty"),
                              (good[:16] + b"\x01" + good[17:], "old format"), (b"\0" * 70, "zeros"),
                              (good[:20] + bytes([good[20] ^ 1]) + good[21:], "wrong CRC"),
                              (good[:-3] + bytes([good[-3] ^ 1]) + good[-2:], "a flipped payload bit")):
                answer = node.request("POST", path, bad, BATCH)
                check(answer.status in (400, 422), f"a batch that is {what}: {answer}")
                problem(answer, answer.status)
            body = problem(node.fetch("orders", "99"), 416, "offset-out-of-range")
            check_equal((body["first_offset"], body["next_offset"]), (0, 1), "the range that there is")
            for offset in ("x", "1e3", "-", "@yesterday", "18446744073709551616"):
                check(node.fetch("orders", offset).status in (400, 416), f"offset={offset}")
            problem(node.get(f"{path}?offset=0&limit=-1"), 400)
            problem(node.request("PUT", "/v1/groups/g/offsets/nowhere/0", b'{"offset":1}', JSON), 404)
            problem(node.request("PUT", "/v1/groups/g/offsets/orders/0", b'{"offset":-1}', JSON), 400)
            check_equal([value for _, value in node.read_all("orders")], ["kept"], f"messages after all that, {node}")
            check(node.is_ready(), f"{node} is ready after all that")


@promise()
def a_message_of_the_largest_size_is_taken(folder):
    """A message just below the limit is stored and read back byte for byte; one above gets 413 also in a batch."""
    with Cluster(folder).start() as cluster:
        cluster.create("orders", max_message_bytes=100000)
        value = os.urandom(49000).hex().encode()
        check_equal(cluster.node(2).produce("orders", value).status, 201, "a large message")
        check_equal(cluster.node(3).read_all("orders"), [(0, value.decode())], "read back")
        problem(cluster.node(1).produce("orders", b"x" * 100001), 413)


@promise(quiet=True)
def the_tool_tells_what_to_do_and_exits_by_the_table(folder):
    """Usage 2, not found 3, unavailable 4, conflict 5; the last line on stderr says what to do."""
    with Cluster(folder).start() as cluster:
        cluster.create("orders")
        url = cluster.node(1).url
        for arguments, status, word in (
            (["no-such-verb"], 2, "help"),
            (["produce"], 2, "topic"),
            (["topic", "create", "x", "-p", "many"], 2, "many"),
            (["-s", url, "--no-such-flag"], 2, "no-such-flag"),
            (["-s", url, "topic", "describe", "nowhere"], 3, "nowhere"),
            (["-s", url, "consume", "nowhere", "-e"], 3, "nowhere"),
            (["-s", url, "log", "scrub", "--topic", "nowhere"], 3, "nowhere"),
            (["-s", url, "cluster", "transfer", "nowhere/0"], 3, "topic create nowhere "),
            (["-s", url, "cluster", "transfer", "nowhere", "--meta"], 2, "more than one"),
            (["-s", url, "cluster", "transfer"], 2, "say what"),
            (["-s", url, "cluster", "transfer", "orders", "--to", "n9"], 5, "n9 is no member"),
            (["-s", url, "cluster", "add", "n2=127.0.0.1:1"], 5, f"already, at {cluster.node(2).peer}"),
            (["-s", url, "cluster", "remove", "n3"], 5, "nobody can take 1 replica of n3 "),
            (["-s", url, "topic", "place", "nowhere/0", "n1"], 3, "topic create nowhere "),
            (["-s", url, "topic", "place", "orders/0", "n9"], 3, "raftmq: n9 is no member"),
            (["-s", url, "cluster", "replace", "n1", "n9"], 3, "raftmq: n9 is no member"),
            (["-s", url, "topic", "create", "many", "-p", "257"], 2, "raftmq: many: --partitions must be an integer from 1 to 256"),
            (["-s", url, "topic", "set", "orders", "--retain-until-consumed", "off"], 2,
             "'off' is one argument too many; did you mean --retain-until-consumed=off"),
            (["-s", url, "topic", "create", "a b"], None, "name"),
            (["-s", url, "topic", "create", "orders", "-p", "5"], 5, "orders"),
            (["-s", "http://127.0.0.1:1", "--timeout", "2s", "topic", "list"], 4, "127.0.0.1:1"),
            (["-s", url, "consume", "orders", "--from", "77", "-e"], None, "77"),
        ):
            done = cli(*arguments, seconds=30)
            text = done.stderr.decode(errors="replace")
            check(done.returncode != 0 and (status is None or done.returncode == status),
                  f"raftmq {' '.join(arguments)}: exit status {done.returncode}, wanted {status}; {text[-300:]!r}")
            check(word in text, f"raftmq {' '.join(arguments)}: stderr names {word!r}: {text[-300:]!r}")
            check_equal(done.stdout, b"", f"raftmq {' '.join(arguments)}: nothing on stdout")
        done = cli("-s", url, "produce", "nowhere", input=b"x\n")
        check_equal(done.returncode, 3, f"produce to an unknown topic: {done.stderr!r}")


@promise()
def a_busy_port_is_named_before_anything_is_made(folder):
    """A node whose port for clients or peers is taken exits with 75 and names port, code and way out, the same for both; it
    founds nothing, and makes no directory."""
    with Cluster(f"{folder}/a", 1).start() as cluster:
        taken = cluster.node(1)
        for whose, port, flag in (("clients", taken.http_port, "--listen-http"), ("peers", taken.peer_port, "--listen-peer")):
            with Cluster(f"{folder}/{whose}", 1) as other:
                node = other.node(1)
                node.http_port, node.peer_port = (port, node.peer_port) if whose == "clients" else (node.http_port, port)
                node.start()
                check_equal(node.wait_exit(), 75, "exit status")
                line = (f'event="node stops" code=75 reason="cannot listen for {whose} on 127.0.0.1:{port}: Address already in '
                        f'use" hint="another process has the port: end it or choose another {flag}"')
                check(line in node.log(), f"the log names the port: {node.log()}")
                check(not os.path.exists(node.data), "nothing was made")
        again = cli("serve", *taken.arguments()[2:], seconds=30)
        check(again.returncode == 75 and b"is in use by another process" in again.stderr, f"started twice: {again.stderr!r}")


@promise()
def two_listeners_on_one_port_are_refused(folder):
    """Exit 2 before anything is made, also when the two addresses are spelled differently."""
    data = f"{folder}/n1"
    done = cli("serve", "--data-dir", data, "--listen-http", "localhost:7070", "--listen-peer", "127.0.0.1:7070", seconds=30)
    check_equal(done.returncode, 2, f"exit status: {done.stderr!r}")
    check(b"--listen-http localhost:7070 and --listen-peer 127.0.0.1:7070 are the same port" in done.stderr, f"{done.stderr!r}")
    check(not os.path.exists(data), "nothing was made")


@promise()
def a_list_of_peers_that_is_none_is_told_as_such(folder):
    """Not as a node that does not know its own number."""
    done = cli("serve", "--data-dir", f"{folder}/n1", "--peers", "foo", seconds=30)
    check_equal(done.returncode, 2, f"exit status: {done.stderr!r}")
    check(b"--peers: 'foo' is not a node name such as n1" in done.stderr, f"{done.stderr!r}")


@promise()
def a_port_that_is_open_to_others_is_warned_of(folder):
    """There is no authentication yet: one warning per listener beyond loopback, and none on it."""
    with Cluster(folder, 1) as cluster:
        node = cluster.node(1)
        node.start()
        wait_for(node.is_ready, patience(15), "a node on loopback")
        check("authentication" not in node.log(), f"no warning: {node.log()}")
        check_equal(node.stop(), 0, "exit status")
        node.start("--listen-http", f"0.0.0.0:{node.http_port}")
        wait_for(node.is_ready, patience(15), "a node on all addresses")
        warnings = [line for line in node.log().splitlines() if "level=warn" in line and "authentication" in line]
        check(len(warnings) == 1 and f"address=0.0.0.0:{node.http_port}" in warnings[0], f"warned: {warnings}")


@promise()
def an_election_timeout_of_less_than_five_heartbeats_is_refused(folder):
    """Exit 2 before anything is made, with both figures; five heartbeats are enough."""
    data = f"{folder}/n1"
    flags = ["--data-dir", data, "--node-id", "1", "--election-timeout-ms-min", "300"]
    done = cli("serve", *flags, "--heartbeat-ms", "61", seconds=30)
    text = done.stderr.decode(errors="replace")
    check_equal(done.returncode, 2, f"exit status: {text[-300:]}")
    check("300" in text and "61" in text, f"it names both: {text[-300:]}")
    check(not os.path.exists(data), "nothing was made")
    with Cluster(f"{folder}/five", 1, ["--heartbeat-ms", "60", "--election-timeout-ms-min", "300"]).start() as cluster:
        cluster.create("orders")


@promise()
def a_data_directory_of_too_long_a_path_is_refused(folder):
    """Exit 78 with the limit, before anything is made: a path that is cut could be that of other nodes, too."""
    data = f"{folder}/" + "d" * 200 + "/" + "e" * 180 + "/" + "f" * 60
    done = cli("serve", "--data-dir", data, "--node-id", "1", seconds=30)
    text = done.stderr.decode(errors="replace")
    check_equal(done.returncode, 78, f"exit status: {text[-300:]}")
    check("longer than 400 bytes" in text, f"it names the limit: {text[-700:]}")
    check(not os.path.exists(data), "nothing was made")


@promise(quiet=True)
def a_foreign_data_directory_is_left_alone(folder):
    """The directory of another node id, and one that raftmq did not make, are refused with 78; nothing in them is changed or
    added, and what lies in the second one is named, with the way out. A new file system, with lost+found, is an empty one."""
    with Cluster(f"{folder}/a").start() as cluster:
        cluster.create("orders")
        cluster.stop_all()
        first, second = cluster.node(1), cluster.node(2)
        before = fingerprint(second.data)
        first.data = second.data
        first.start()
        check_equal(first.wait_exit(), 78, f"exit status on another node's directory: {first.log()[-300:]}")
        check_equal(fingerprint(second.data), before, "the other node's files")

        strange = f"{folder}/strange"
        os.makedirs(strange)
        with open(f"{strange}/thesis.txt", "w") as file:
            file.write("years of work\n")
        before = fingerprint(strange)
        first.data = strange
        first.start()
        check_equal(first.wait_exit(), 78, f"exit status on a strange directory: {first.log()[-300:]}")
        check_equal(fingerprint(strange), before, "the strange files")
        check_equal(os.listdir(strange), ["thesis.txt"], "nothing was added")
        check(f'{strange} holds nothing of raftmq, but thesis.txt" hint="name an empty directory, such as {strange}/data"'
              in first.log(), f"what to do: {first.log()[-500:]}")

    with Cluster(f"{folder}/b", 1) as cluster:
        volume = cluster.node(1).data
        os.makedirs(f"{volume}/lost+found")
        cluster.start()
        cluster.create("orders")
        check_equal(cluster.node(1).stop(), 0, "exit status")
        done = cli("log", "verify", volume)
        check_equal(done.returncode, 0, f"log verify beside lost+found: {done.stdout + done.stderr!r}")


def fingerprint(folder):
    """Names, sizes and contents, without lock files."""
    found = {}
    for path, _, files in os.walk(folder):
        for file in files:
            if "lock" not in file.lower():
                with open(os.path.join(path, file), "rb") as data:
                    found[os.path.relpath(os.path.join(path, file), folder)] = hash(data.read())
    return found


@promise(quiet=True)
def unreachable_peers_are_named(folder):
    """One of three nodes alone: alive, not ready, and its status names the two that it cannot reach."""
    with Cluster(folder) as cluster:
        node = cluster.node(1)
        node.start()
        wait_for(lambda: node.get("/livez").status == 200, patience(10), "livez")
        text = wait_for(lambda: node.status()["problem"], patience(10), "the status to say why")
        check("n2" in text and "n3" in text, f"it names both: {text!r}")
        check_equal(node.get("/readyz").status, 503, "readyz")
        answer = node.produce("orders", b"x", seconds=20)
        check(answer.status in (503, 504), f"produce: {answer}")
        done = cli("-s", node.url, "cluster", "status")
        check(b"n2" in done.stdout + done.stderr, f"cluster status names them: {done.stdout!r}")
        return text


@promise()
def damage_below_the_mark_is_repaired_from_the_others_and_named(folder):
    """A flipped bit in an acknowledged entry: `log verify` and the node name file, place and reason; the node gets the entry
    from the others, `log scrub --wait` finds nothing left, and it serves what it did."""
    with Cluster(folder).start() as cluster:
        cluster.create("orders")
        for i in range(20):
            check_equal(cluster.node(1).produce("orders", b"precious-%02d" % i).status, 201, "produce")
        victim = cluster.node(3)
        cluster.wait_in_sync(victim, "orders")
        check_equal(victim.stop(), 0, "exit status after SIGTERM")
        path, position = find_bytes(victim.data, b"precious-07")
        with open(path, "r+b") as file:
            file.seek(position)
            file.write(b"P")
        size = os.path.getsize(path)
        done = cli("log", "verify", victim.data)
        text = (done.stdout + done.stderr).decode(errors="replace")
        check(done.returncode != 0 and os.path.basename(path) in text, f"log verify: {done.returncode}, {text[-400:]!r}")
        check("a node runs" not in text, f"log verify of a stopped node: {text[-400:]!r}")
        done = cli("log", "verify", cluster.node(1).data)
        check(b"a node runs on" in done.stderr, f"log verify of a running node: {done.stderr!r}")
        done = cli("cluster", "status", "--server", cluster.node(1).url)
        check(done.returncode == 1 and b"n3: " in done.stderr, f"what is wrong: {done.stderr!r}")
        victim.start()
        wait_for(lambda: "damage repaired" in victim.log(), patience(20), "the damage to be repaired")
        check(os.path.basename(path) in victim.log(), f"its log names the file: {victim.log()[-500:]}")
        done = cli("log", "scrub", "--wait=60s", "--server", cluster.node(1).url)
        check_equal(done.returncode, 0, f"log scrub: {(done.stdout + done.stderr).decode(errors='replace')[-500:]}")
        counts = [line.split("\t")[4:] for line in done.stdout.decode().splitlines()]
        check_equal(counts, [["0", "0", "0"]] * 3, "found, repaired and left, behind the repair")
        done = cli("log", "scrub", "--server", cluster.node(1).url)
        check(b"begun" in done.stderr, f"log scrub that does not wait: {done.stderr!r}")
        check_equal(cluster.node(1).produce("orders", b"go on").status, 201, "it takes messages")
        cluster.wait_in_sync(victim, "orders")
        check_equal(victim.stop(), 0, "exit status after SIGTERM")
        check(os.path.getsize(path) > 0 and find_bytes(victim.data, b"precious-07"), "the entry is back")


def find_bytes(folder, needle):
    for path, _, files in os.walk(folder):
        for file in files:
            try:
                with open(os.path.join(path, file), "rb") as data:
                    position = data.read().find(needle)
            except FileNotFoundError:
                continue  # a running node has just renamed or dropped it
            if position >= 0:
                return os.path.join(path, file), position
    raise AssertionError(f"{needle!r} stands in no file under {folder}")


class SmallDisk:
    """A tmpfs in a mount namespace of its own, which ends with this process: nothing is left mounted."""

    def __init__(self, path, size):
        os.makedirs(path, exist_ok=True)
        self.path = path
        if not shutil.which("unshare") or os.geteuid() != 0:
            raise Skipped("mounting a small disk needs root")
        # `cat` holds the namespace until its input closes.
        self.holder = spawn(["unshare", "-m", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
        mine = os.readlink("/proc/self/ns/mnt")

        def separated():
            if self.holder.poll() is not None:
                raise Skipped("a mount namespace of its own is not allowed here")
            return os.readlink(f"/proc/{self.holder.pid}/ns/mnt") != mine

        wait_for(separated, 10, "a mount namespace")
        done = self.run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path)
        if done.returncode != 0:
            raise Skipped(f"mount is not allowed here: {done.stderr.decode().strip()}")

    def inside(self):
        return ["nsenter", "-t", str(self.holder.pid), "-m", "--"]

    def run(self, *command):
        return subprocess.run([*self.inside(), *command], capture_output=True, timeout=20)

    def grow(self, size):
        done = self.run("mount", "-o", f"remount,size={size}", self.path)
        check_equal(done.returncode, 0, f"remount: {done.stderr!r}")


@promise(seconds=90)
def a_full_disk_refuses_writes_keeps_reading_and_recovers_alone(folder):
    """A node on a small disk: produce is refused with 507 before the disk is full, what was acknowledged is read, a kill
    and restart on the full disk loses nothing, and with space again it takes writes by itself."""
    with Cluster(folder, 1, options=["--segment-bytes", "4194304", "--reserve-bytes", "8388608"]) as cluster:
        node = cluster.node(1)
        disk = SmallDisk(node.data, "48m")
        node.start(wrapper=disk.inside())
        cluster.wait_ready()
        cluster.create("orders")
        acked = []
        for i in range(400):
            value = b"%04d-" % i + b"z" * 250000
            answer = node.produce("orders", value)
            if answer.status != 201:
                break
            acked.append(value.decode())
        body = problem(answer, 507)
        check(len(acked) > 10, f"some were taken: {len(acked)}")
        check("disk" in body["title"] + body["detail"], f"it speaks of the disk: {body}")
        check(node.is_running(), "the node runs")
        check_equal([value for _, value in node.read_all("orders", limit=20)], acked, "messages while full")
        node.kill()
        node.start(wrapper=disk.inside())
        wait_for(lambda: node.fetch("orders", limit=1).status == 200, patience(20), "reads after a restart while full")
        check_equal([value for _, value in node.read_all("orders", limit=20)], acked, "messages after a restart")
        disk.grow("128m")
        wait_for(lambda: node.produce("orders", b"room again").status == 201, patience(20), "writes to be taken again")
        check_equal([value for _, value in node.read_all("orders", limit=20)], [*acked, "room again"], "all messages")
        return f"{len(acked)} messages of 250 kB acknowledged before 507"
