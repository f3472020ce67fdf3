"""Real disks that can lose power: each an ext4 on a loop device, in a mount namespace that ends with the test.

Power is cut by ext4's shutdown ioctl without a flush of its journal: from that instant nothing reaches the device, and
every write and sync fails. What is there after the next mount is what was synced before, and whatever else the kernel
happened to have written. A rename without a sync of its directory may survive, as a later sync of anything commits the
whole journal; that class is the simulator's and the crash enumeration's.

Nothing is left behind however the test ends: the devices are freed with the last mount, the mounts end with their
namespace, and that ends with a process which the runner ends, and which ends with the runner.
"""

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import threading

from cluster import Failed, Skipped, check_equal, spawn, wait_for

_EXT4_IOC_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2
_libc = ctypes.CDLL(None, use_errno=True)


class Disks:
    """`count` ext4 file systems of `size` under `folder`: d1, d2, ..."""

    def __init__(self, folder, count, size=1 << 30):
        self.folder = os.path.realpath(folder)
        if os.geteuid() != 0:
            raise Skipped("mounting loop devices needs root")
        for tool in ("unshare", "nsenter", "mkfs.ext4", "mount", "losetup"):
            if shutil.which(tool) is None:
                raise Skipped(f"no {tool} here")
        # `cat` holds the namespace until its input closes.
        self.holder = spawn(["unshare", "-m", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
        mine = os.readlink("/proc/self/ns/mnt")

        def separated():
            if self.holder.poll() is not None:
                raise Skipped("a mount namespace of its own is not allowed here")
            return os.readlink(f"/proc/{self.holder.pid}/ns/mnt") != mine

        wait_for(separated, 10, "a mount namespace")
        for number in range(1, count + 1):
            with open(self._image(number), "wb") as image:
                image.truncate(size)
            done = subprocess.run(["mkfs.ext4", "-q", "-F", self._image(number)], capture_output=True, timeout=60)
            check_equal(done.returncode, 0, f"mkfs.ext4: {done.stderr!r}")
            os.makedirs(self.path(number))
            done = self._mount(number)
            if done.returncode != 0:
                raise Skipped(f"loop devices are not allowed here: {done.stderr.decode().strip()}")
        self._try_cut()

    def _image(self, number):
        return os.path.join(self.folder, f"d{number}.img")

    def path(self, number):
        """Where it is mounted, inside of the namespace."""
        return os.path.join(self.folder, f"d{number}")

    def from_outside(self, path):
        return f"/proc/{self.holder.pid}/root{path}"

    def inside(self):
        return ["nsenter", "-t", str(self.holder.pid), "-m", "--"]

    def _run(self, *command):
        return subprocess.run([*self.inside(), *command], capture_output=True, timeout=60)

    def _mount(self, number):
        # A device that `mount` set up is freed with the mount.
        return self._run("mount", "-t", "ext4", "-o", "loop,noatime", self._image(number), self.path(number))

    def _open(self, number):
        return os.open(self.from_outside(self.path(number)), os.O_RDONLY | os.O_DIRECTORY)

    def _try_cut(self):
        """A kernel without the ioctl is no fault of the broker."""
        try:
            self.cut([1])
        except OSError as error:
            raise Skipped(f"no ext4 shutdown here: {error}") from None
        self.restore(1)

    def sync(self):
        """Everything is on the devices, whoever lies about it."""
        for number in range(1, 1 + len([name for name in os.listdir(self.folder) if name.endswith(".img")])):
            fd = self._open(number)
            result = _libc.syncfs(fd)
            os.close(fd)
            check_equal(result, 0, "syncfs")

    def cut(self, numbers):
        """The power of these goes at the same instant, as far as threads can."""
        fds = [self._open(number) for number in numbers]
        gate, errors = threading.Barrier(len(fds)), []

        def pull(fd):
            gate.wait()
            try:
                fcntl.ioctl(fd, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
            except OSError as error:
                errors.append(error)

        threads = [threading.Thread(target=pull, args=(fd,)) for fd in fds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for fd in fds:
            os.close(fd)
        if errors:
            raise errors[0]

    def restore(self, number):
        """Power is back. Nobody may have a file open there."""
        last = None

        def unmounted():
            nonlocal last
            last = self._run("umount", self.path(number))
            return last.returncode == 0

        try:
            wait_for(unmounted, 20, f"umount of disk {number}")
        except Failed as error:
            raise Failed(f"{error}: {last.stderr!r}") from None
        done = self._mount(number)
        check_equal(done.returncode, 0, f"mount of disk {number} after a power cut: {done.stderr!r}")
