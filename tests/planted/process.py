"""One run of one program with one bug on or none: its end, its words, the CPU time of it and its children."""

import os
import resource
import signal
import subprocess
import tempfile
import threading

CPU_SECONDS_MAX = 30    # of one process: ten times what the longest one takes without a bug
WALL_SECONDS_MAX = 300  # for a program that waits for what never comes, on a busy machine


class Ended:
    def __init__(self, status, text, cpu_seconds):
        self.status = status
        self.text = text
        self.cpu_seconds = cpu_seconds
        self.is_good = status == 0
        self.is_endless = status in (-signal.SIGKILL, -signal.SIGXCPU)


def limit_cpu():
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS_MAX, CPU_SECONDS_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.setpgid(0, 0)


def kill_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(command, bug_name=None):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAFTMQ_")}
    if bug_name:
        environment["RAFTMQ_PLANTED_BUG"] = bug_name
    with tempfile.TemporaryFile() as words, tempfile.TemporaryDirectory(prefix="raftmq-planted-") as folder:
        environment["TMPDIR"] = folder
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=words, stderr=words, env=environment,
                                   cwd=folder, preexec_fn=limit_cpu)
        timer = threading.Timer(WALL_SECONDS_MAX, kill_group, [process.pid])
        timer.start()
        _, wait_status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(wait_status)
        kill_group(process.pid)  # workers of a killed parent
        words.seek(0)
        text = words.read().decode(errors="replace")
    return Ended(process.returncode, text, usage.ru_utime + usage.ru_stime)
