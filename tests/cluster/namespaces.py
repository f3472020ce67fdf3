"""Nodes that each live in a network namespace of their own, so that links between them can be cut.

The test itself moves into a fresh namespace, the hub, with a bridge; every node's namespace hangs on it by a veth pair.
Clients (the test and what it spawns) reach every node through the bridge, whatever is cut between the nodes. Namespaces
have no names: each lives as long as its processes, so nothing is left behind however the test ends. Links are cut by
iptables inside the namespace of the receiver: the sender sees silence, as on a real network.

Needs root, ip, iptables, nsenter and unshare; without them a test is skipped.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess

from cluster import Cluster, Failed, Node, Skipped, spawn, wait_for

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_SUBNET = "10.77.0"
_HTTP_PORT, _PEER_PORT = 7070, 7071
_LARGE_PACKET_BYTES = 1000


def _run(*arguments, input=None):
    done = subprocess.run(arguments, input=input, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    if done.returncode != 0:
        raise Failed(f"{' '.join(arguments)}: {done.stdout.decode(errors='replace').strip()}")


def _namespace(pid="self"):
    return os.readlink(f"/proc/{pid}/ns/net")


def _enter_new_namespace():
    if os.geteuid() != 0:
        raise Skipped("network namespaces need root")
    for tool in ("ip", "iptables-restore", "nsenter", "unshare"):
        if shutil.which(tool) is None:
            raise Skipped(f"no {tool} here")
    if _libc.unshare(_CLONE_NEWNET) != 0:
        raise Skipped(f"no network namespaces here: {os.strerror(ctypes.get_errno())}")


def _try_tools():
    """In the new namespace: a kernel without bridges or without iptables is no fault of the broker."""
    for arguments in (["ip", "link", "add", "hub", "type", "bridge"], ["iptables", "-S"],
                      ["iptables", "-A", "INPUT", "-p", "tcp", "-m", "length", "--length", "1000:", "-s", "192.0.2.1",
                       "-j", "DROP"]):
        try:
            _run(*arguments)
        except (Failed, OSError) as error:
            raise Skipped(f"this kernel lacks bridges or iptables: {error}") from None


class NetworkNode(Node):
    """A node in its own namespace; `holder` keeps that alive while the node is down."""

    def __init__(self, cluster_, number):
        super().__init__(cluster_, number, _HTTP_PORT, _PEER_PORT)
        self.host = f"{_SUBNET}.{number}"
        self.holder = None

    def inside(self, *arguments):
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", *arguments]

    def connect(self):
        home = _namespace()
        self.holder = spawn(["unshare", "--net", "sleep", "86400"], stdin=subprocess.DEVNULL)
        wait_for(lambda: _namespace(self.holder.pid) != home, 10, f"the namespace of {self}", every=0.005)
        cable = f"to-{self}"
        _run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(self.holder.pid))
        _run("ip", "link", "set", cable, "master", "hub", "up")
        _run(*self.inside("ip", "-batch", "-"),
             input=f"link set lo up\naddress add {self.host}/24 dev eth0\nlink set eth0 up\n".encode())

    def start(self, *more, wrapper=(), env=None):
        return super().start(*more, wrapper=[*self.inside(), *wrapper], env=env)

    def filter(self, rules):
        """Add iptables rules, all at once."""
        _run(*self.inside("iptables-restore", "--noflush", "--wait"),
             input="".join(["*filter\n", *(f"{rule}\n" for rule in rules), "COMMIT\n"]).encode())


class NetworkCluster(Cluster):
    """As Cluster, over a network that can be cut. A context manager; one at a time per process."""

    def __init__(self, folder, count=3, options=()):
        self.folder, self.options = folder, list(options)
        os.makedirs(folder, exist_ok=True)
        self.peers = ",".join(f"n{i}={_SUBNET}.{i}:{_PEER_PORT}" for i in range(1, count + 1))
        self.nodes = [NetworkNode(self, i) for i in range(1, count + 1)]
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self):
        try:
            _enter_new_namespace()
            _try_tools()
            _run("ip", "-batch", "-", input=f"link set lo up\naddress add {_SUBNET}.254/24 dev hub\nlink set hub up\n"
                 .encode())
            for node in self.nodes:
                node.connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with contextlib.suppress(Exception):
            super().__exit__()
        for node in self.nodes:
            if node.holder is not None:
                node.holder.kill()
                node.holder.wait(10)
        is_away = os.fstat(self._home).st_ino != os.stat("/proc/self/ns/net").st_ino
        if is_away and _libc.setns(self._home, _CLONE_NEWNET) != 0:
            raise Failed(f"no way back to the own network: {os.strerror(ctypes.get_errno())}")
        os.close(self._home)

    # ---- cutting: packets from a node of `sources` to a node of `targets` vanish -----------------------------------

    def cut_one_way(self, sources, targets):
        for target in targets:
            target.filter(f"-A INPUT -s {source.host} -j DROP" for source in sources if source is not target)

    def cut(self, some, others):
        """Both ways."""
        self.cut_one_way(some, others)
        self.cut_one_way(others, some)

    def split(self, *parts):
        """No part hears another."""
        for target_part in parts:
            self.cut_one_way([node for part in parts if part is not target_part for node in part], target_part)

    def cut_large(self, sources, targets):
        """Only packets of full size vanish: small ones, as heartbeats and acks are, go through."""
        for target in targets:
            target.filter(f"-A INPUT -p tcp -s {source.host} -m length --length {_LARGE_PACKET_BYTES}: -j DROP"
                          for source in sources if source is not target)

    def unplug(self, node):
        """The cable to a node, for peers and clients alike."""
        _run("ip", "link", "set", f"to-{node}", "down")

    def plug(self, node):
        _run("ip", "link", "set", f"to-{node}", "up")

    def heal(self):
        for node in self.nodes:
            node.filter(["-F INPUT"])
            self.plug(node)

    def others(self, *nodes):
        return [node for node in self.nodes if node not in nodes]
