"""docker/compose.yaml as a newcomer uses it: three containers, the tool on the host, a killed container."""

import json
import os
import shutil
import socket
import subprocess
import time

from cluster import Failed, Server, Skipped, check, check_equal, cli, wait_for
from load import Producer, check_history
from promises import promise

HERE = os.path.dirname(os.path.abspath(__file__))
FILE = os.path.join(HERE, "../../docker/compose.yaml")
PORTS = {"n1": 7070, "n2": 7080, "n3": 7090}


def compose_command():
    if not shutil.which("docker") or docker("info", check_status=False).returncode != 0:
        raise Skipped("no Docker engine can be reached")
    if docker("compose", "version", check_status=False).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise Skipped("neither docker-compose nor docker compose is installed")


def run(command, seconds=60, check_status=True):
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    if check_status and done.returncode != 0:
        raise Failed(f"{' '.join(command)} exited {done.returncode}: {(done.stderr or done.stdout)[-1500:]}")
    return done


def docker(*arguments, **options):
    return run(["docker", *arguments], **options)


class Container(Server):
    def __init__(self, name):
        self.name, self.http_port, self.number = name, PORTS[name], int(name[1:])
        self.url = f"http://localhost:{self.http_port}"

    def __repr__(self):
        return self.name

    def health(self):
        return docker("inspect", "-f", "{{.State.Health.Status}}", self.name, check_status=False).stdout.strip()

    def is_running(self):
        return docker("inspect", "-f", "{{.State.Running}}", self.name, check_status=False).stdout.strip() == "true"


class Project:
    def __init__(self, folder):
        self.folder = folder
        self.command = [*compose_command(), "-p", "raftmqtest", "-f", FILE]
        names = docker("ps", "-a", "--format", "{{.Names}}").stdout.split()
        taken = sorted(set(names) & set(PORTS))
        if taken and not self.own(taken):
            raise Skipped(f"containers of these names exist already: {', '.join(taken)}")
        for port in PORTS.values():
            with socket.socket() as probe:
                if not taken and probe.connect_ex(("127.0.0.1", port)) == 0:
                    raise Skipped(f"port {port} of this machine, which compose.yaml publishes, is in use")
        self.nodes = [Container(name) for name in PORTS]

    def own(self, names):
        label = '{{ index .Config.Labels "com.docker.compose.project" }}'
        return all(docker("inspect", "-f", label, name).stdout.strip() == "raftmqtest" for name in names)

    def __enter__(self):
        run([*self.command, "down", "-v", "--remove-orphans", "-t", "2"], seconds=120, check_status=False)
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            text = docker("logs", node.name, check_status=False)
            with open(os.path.join(self.folder, f"{node.name}.log"), "w") as log:
                log.write(text.stdout + text.stderr)
        run([*self.command, "down", "-v", "--remove-orphans", "-t", "2"], seconds=120, check_status=False)

    urls = property(lambda self: ",".join(node.url for node in self.nodes))

    def running(self):
        return [node for node in self.nodes if node.is_running()]

    def leader(self, topic):
        def find():
            for node in self.running():
                group = node.groups().get((topic, 0))
                if group and group["role"] == "leader":
                    return node
            return None
        return wait_for(find, 30, f"a leader of {topic}", every=0.1)


@promise(seconds=540)
def three_containers_survive_docker_kill_of_the_leader(folder):
    """`up -d --build` gives three healthy containers; the tool on the host produces and consumes; `docker kill` of the
    leader's container under load loses nothing; the restarted node catches up and serves reads."""
    with Project(folder) as project:
        run([*project.command, "up", "-d", "--build"], seconds=480)
        started = time.monotonic()
        wait_for(lambda: all(node.health() == "healthy" for node in project.nodes), 60, "three healthy containers",
                 every=0.2)
        healthy = time.monotonic() - started
        check_equal(docker("exec", "n1", "id", "-u", check_status=False).stdout.strip(), "10001", "user id inside")

        done = cli("-s", project.urls, "topic", "create", "orders")
        check_equal(done.returncode, 0, f"topic create: {done.stderr!r}")
        done = cli("-s", project.urls, "produce", "greetings-none", input=b"x\n")
        check_equal(done.returncode, 3, "an unknown topic is not created by serve")
        done = cli("-s", project.urls, "cluster", "status", "-o", "json")
        check_equal(len(json.loads(done.stdout)["nodes"]), 3, "nodes in the status")

        producers = [Producer(project, "orders", f"p{i + 1}", 300) for i in range(2)]
        wait_for(lambda: all(p.acked_count() > 300 for p in producers), 30, "acks")
        victim = project.leader("orders")
        docker("kill", victim.name)
        check(not victim.is_running(), f"{victim} is killed")
        acked = [p.acked_count() for p in producers]
        wait_for(lambda: all(p.acked_count() > n + 300 for p, n in zip(producers, acked)), 30, "acks after the kill")
        docker("start", victim.name)
        wait_for(lambda: victim.health() == "healthy", 60, f"{victim} to be healthy again", every=0.2)
        for producer in producers:
            producer.finish()
        verdict = check_history(project, "orders", producers)
        done = cli("-s", victim.url, "consume", "orders", "--from", "earliest", "-e")
        check_equal((done.returncode, done.stdout.count(b"\n")), (0, verdict.read), "consumed from the restarted node")

        run([*project.command, "stop"], seconds=60)
        for node in project.nodes:
            code = docker("inspect", "-f", "{{.State.ExitCode}}", node.name).stdout.strip()
            check_equal(code, "0", f"exit status of {node} after stop")
        return f"healthy {healthy:.1f} s after up, {verdict}"
