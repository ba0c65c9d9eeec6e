"""Small disks that can be filled, frozen and cut off. All of them need root."""

import fcntl
import os
import subprocess

EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = (2).to_bytes(4, "little")


def run(*words):
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError as missing:
        return subprocess.CompletedProcess(words, 127, "", str(missing))


class Disk:
    """A mounted folder; `test` is skipped where it cannot be made."""

    def __init__(self, test, words):
        self.path = os.path.join(test.folder, "disk")
        os.makedirs(self.path, exist_ok=True)
        self.words = words
        made = self.mount()
        if made.returncode:
            test.skipTest(f"no disk can be mounted: {made.stderr.strip()}")
        test.addCleanup(run, "umount", "-l", self.path)

    def mount(self):
        return run("mount", *self.words, self.path)

    def unmount(self):
        assert run("umount", self.path).returncode == 0

    def fill(self):
        with open(os.path.join(self.path, "ballast"), "ab", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass

    def free(self):
        os.unlink(os.path.join(self.path, "ballast"))


def tmpfs(test, megabytes):
    return Disk(test, ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs"])


class Ext4(Disk):
    """ext4 in a file, on a loop device."""

    def __init__(self, test, megabytes):
        self.image = os.path.join(test.folder, "image")
        with open(self.image, "wb") as file:
            file.truncate(megabytes << 20)
        made = run("mkfs.ext4", "-q", "-F", self.image)
        if made.returncode:
            test.skipTest(f"no ext4 can be made: {made.stderr.strip()}")
        super().__init__(test, ["-t", "ext4"])

    def mount(self):
        # A loop device of its own every time: where another mount namespace (a container begun
        # meanwhile) still holds the dead file system, the old device would give it once more.
        device = run("losetup", "--find", "--show", self.image)
        if device.returncode:
            return device
        made = run("mount", *self.words, device.stdout.strip(), self.path)
        run("losetup", "--detach", device.stdout.strip())  # when it is unmounted
        return made

    def cut(self):
        """As if the machine lost its power: what was not flushed is gone."""
        folder = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH)
        finally:
            os.close(folder)

    def power_up(self):
        run("umount", "-l", self.path)
        made = self.mount()
        assert made.returncode == 0, made.stderr
