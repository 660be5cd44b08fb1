"""Disks that are full, stall, fail, turn read-only, lose their directory or die, for real: recording never ends, what could not be
kept is counted, it goes on by itself when the disk is back, and log, /readyz and counters say so. Threads on other disks notice
nothing."""
import os
import shutil
import threading
import time
import unittest

import lab
from disk_lab import Disk, Traffic, attempt, lab_on, lines, thread_stats, unavailable

# A small ring, so that trouble costs packets soon; small files, so that new ones are needed often.
FLAGS = ["--filesize_mb=16", "--fileage_sec=3"]
BLOCKS = 16


class DiskTrouble(unittest.TestCase):
    def setUp(self):
        self.one = None

    def scratch(self):
        return lab.tempfile.mkdtemp(prefix="steno-e2e-disk-", dir="/var/tmp")

    def disk(self, megabytes=192, **options):
        root = self.scratch()
        lab.atexit.register(shutil.rmtree, root, True)
        return Disk(root + "/disk", megabytes, **options)

    def traffic(self):
        traffic = Traffic(self.one)
        self.addCleanup(traffic.ended.set)
        return traffic

    def wait_trouble(self, *texts, seconds=40):
        """Until /readyz complains with these words."""
        def complained():
            answer = self.one.get("/readyz")
            self.complaint = answer.text
            return answer.status == 503 and all(text in answer.text for text in texts)
        lab.wait_for(complained, seconds, "/readyz to say 503 and %s" % (texts,))
        print("readyz:", self.complaint.strip())

    def wait_well(self, seconds=40):
        lab.wait_for(lambda: self.one.get("/readyz").status == 200, seconds, "/readyz to say 200 again")

    def wait_lost(self, more_than=0):
        lab.wait_for(lambda: self.one.lost() > more_than, 40, "packets to be lost")

    def account(self, traffic, starts=1):
        """Every packet that was sent is stored or counted as lost, and stenotype is the one that was started."""
        sent = traffic.stop()
        self.one.wait_stored(sent, 60)
        stats = self.one.stats()
        stored, lost = self.one.counter("stored_packets"), self.one.lost()
        print("sent=%d stored=%d lost=%d removed=%d troubles=%d write errors=%d" % (
            sent, stored, lost, self.one.counter("removed_packets"), self.one.counter("disk_troubles"),
            self.one.counter("write_errors")))
        self.assertEqual(sent, stored + lost)
        self.assertEqual(stats["stenotype_starts"], starts)
        return sent, stored, lost

    def check_log(self, at_most=1):
        """One line at the beginning and one at the end of each trouble."""
        episodes = self.one.counter("disk_troubles")
        self.assertIn(episodes, range(1, at_most + 1))
        self.assertEqual(len(lines(self.one, "disk trouble in")), episodes, self.one.log()[-3000:])
        lab.wait_for(lambda: len(lines(self.one, "is back after")) == episodes, 10, "the log to say that the disk is back")

    def check_found(self, count):
        """A query finds so many packets, after recovery."""
        self.found = None

        def found():
            self.found = len(self.one.packets("last=1h"))
            return self.found == count
        try:
            lab.wait_for(found, 20, "queries to find %d packets" % count)
        except AssertionError as error:
            raise AssertionError("%s; they find %d" % (error, self.found)) from error

    def test_full(self):
        disk = self.disk(96)
        self.one = lab_on(disk.path, flags=[*FLAGS, "--blocks=%d" % BLOCKS])
        with self.one:
            self.one.start()
            traffic = self.traffic()
            # Retention gives way to whoever else fills the disk, until there is nothing left to delete.
            filled = threading.Event()
            self.addCleanup(filled.set)

            def fill():
                while not filled.wait(0.02):
                    disk.fill()
            filler = threading.Thread(target=fill, daemon=True)
            filler.start()
            self.wait_trouble("thread 0", disk.path + "/pkt", "No space left on device")
            self.wait_lost()
            metrics = self.one.get("/metrics").text
            self.assertIn('steno_disk_trouble{interface="cap0",thread="0"} 1', metrics)
            self.assertIn('steno_dropped_packets_total{interface="cap0",thread="0",cause="ring_full"}', metrics)
            filled.set()
            filler.join()
            os.unlink(disk.path + "/foreign")
            self.wait_well()
            time.sleep(1)
            _, _, lost = self.account(traffic)
            self.assertGreater(lost, 0)
            self.check_log(at_most=3)  # retention may have found a file for the one to grow into
            self.assertGreater(len(self.one.packets("last=5s")), 0)

    def stall(self, engine, seconds):
        disks = [self.disk(), self.disk()]
        self.one = lab_on(*(disk.path for disk in disks), flags=[*FLAGS, "--blocks=%d" % (2 * BLOCKS), "--io_engine=" + engine])
        with self.one:
            self.one.start()
            traffic = self.traffic()
            time.sleep(2)
            disks[0].freeze()
            begin = time.monotonic()
            try:
                before = thread_stats(self.one)
                self.wait_trouble("thread 0", seconds=20)
                self.assertNotIn("thread 1", self.complaint)
                time.sleep(max(0, begin + seconds - time.monotonic()))
                during = thread_stats(self.one)
            finally:
                disks[0].thaw()
            self.wait_well()
            time.sleep(1)
            self.account(traffic)
            after = thread_stats(self.one)
            self.assertGreater(after[0]["ring_drops"], 0, "more than the ring holds was sent meanwhile")
            stalled, well = ((now["stored_packets"] - was["stored_packets"]) for now, was in zip(during, before))
            print("%s: stored in %d s: thread 0 %d, thread 1 %d; longest write of thread 1 %.0f ms" % (
                engine, seconds, stalled, well, after[1]["write_latency_max_ns"] / 1e6))
            self.assertGreater(well, 10 * max(stalled, 1))
            self.assertEqual(after[1]["ring_drops"] + after[1]["write_error_drops"], 0, "the other disk is another matter")
            if engine != "libaio":  # whose system call hangs, so that the thread itself cannot tell
                self.assertIn("writes do not complete", self.complaint)
                self.check_log()

    def test_stall_io_uring(self):
        self.stall("io_uring", 30)

    def test_stall_libaio(self):
        self.stall("libaio", 14)

    def test_stall_pwrite(self):
        self.stall("pwrite", 10)

    def memory(self, size):
        """A directory in memory of a limited size, for the image of a disk."""
        store = self.scratch()
        lab.atexit.register(shutil.rmtree, store, True)
        error = attempt("mount", "-t", "tmpfs", "-o", "size=" + size, "tmpfs", store)
        if error:
            raise unavailable("no tmpfs here: " + error)
        lab.atexit.register(attempt, "umount", "-l", store)
        return store

    def write_errors(self, engine):
        """A device that refuses every write for a while, as its backing file is immutable."""
        # Without a journal: that it cannot be written is another trouble (test_file_system_error).
        disk = self.disk(mkfs=["-O", "^has_journal", "-E", "nodiscard,lazy_itable_init=0"])
        self.one = lab_on(disk.path, flags=[*FLAGS, "--blocks=%d" % BLOCKS, "--io_engine=" + engine])
        with self.one:
            self.one.start()
            traffic = self.traffic()
            time.sleep(1)
            error = attempt("chattr", "+i", disk.image)
            if error:
                raise unavailable("no immutable files here: " + error)
            self.addCleanup(attempt, "chattr", "-i", disk.image)
            self.wait_trouble("thread 0", "Input/output error")
            self.wait_lost()
            tries = self.one.counter("write_errors")
            time.sleep(3)
            self.assertLess(self.one.counter("write_errors") - tries, 10, "one block at a time, with pauses")
            lab.run(["chattr", "-i", disk.image])
            self.wait_well()
            time.sleep(1)
            _, _, lost = self.account(traffic)
            self.assertGreater(lost, 0)
            self.assertGreater(self.one.counter("write_errors"), 0)
            self.check_log()
            self.assertGreater(len(self.one.packets("last=2s")), 0)

    def test_write_errors_io_uring(self):
        self.write_errors("io_uring")

    def test_write_errors_libaio(self):
        self.write_errors("libaio")

    def test_write_errors_pwrite(self):
        self.write_errors("pwrite")

    def test_thin_device_without_space(self):
        """Space that was allocated cannot be written: the device has none behind it, until it gets more."""
        store = self.memory("40m")
        disk = self.disk(512, mkfs=["-O", "^has_journal", "-E", "nodiscard,lazy_itable_init=0"], image=store + "/image")
        self.one = lab_on(disk.path, flags=[*FLAGS, "--blocks=%d" % BLOCKS])
        with self.one:
            self.one.start()
            traffic = self.traffic()
            self.wait_trouble("thread 0")
            self.wait_lost()
            lab.run(["mount", "-o", "remount,size=600m", store])
            self.wait_well()
            time.sleep(1)
            _, _, lost = self.account(traffic)
            self.assertGreater(lost, 0)
            self.assertGreater(self.one.counter("write_errors"), 0)
            self.check_log()
            # Not all that was stored: loop devices take a write that their backing file took in part for a whole one.
            self.assertGreater(len(self.one.packets("last=2s")), 0)

    def test_directory_removed(self):
        disk = self.disk()
        self.one = lab_on(disk.path, flags=[*FLAGS, "--blocks=%d" % BLOCKS])
        with self.one:
            self.one.start()
            traffic = self.traffic()
            time.sleep(1)
            shutil.rmtree(disk.path + "/pkt")
            self.wait_trouble("thread 0", "No such file or directory")
            self.wait_lost()
            os.mkdir(disk.path + "/pkt")
            self.wait_well()
            time.sleep(1)
            _, stored, _ = self.account(traffic)
            removed = self.one.counter("removed_packets")
            self.assertGreater(removed, 0, "what was in the open file is gone with it")
            self.check_log()
            found = len(self.one.packets("last=1h"))
            self.assertGreater(found, 0)
            self.assertLessEqual(found, stored - removed)

    def test_read_only(self):
        """The directory is mounted read-only, and writable again: `mount -o remount,ro` refuses while files are written."""
        disk = self.disk()
        self.one = lab_on(disk.path, flags=[*FLAGS, "--blocks=%d" % BLOCKS])
        with self.one:
            self.one.start()
            traffic = self.traffic()
            time.sleep(1)
            lab.run(["mount", "--bind", disk.path + "/pkt", disk.path + "/pkt"])
            lab.run(["mount", "-o", "remount,ro,bind", disk.path + "/pkt"])
            self.wait_trouble("thread 0", "Read-only file system")
            self.wait_lost()
            self.assertGreater(self.one.counter("seal_failures"), 0, "a file that cannot get its name")
            lab.run(["umount", disk.path + "/pkt"])
            self.wait_well()
            time.sleep(1)
            _, stored, _ = self.account(traffic)
            self.check_log()
            self.check_found(stored)

    def test_file_system_error(self):
        """The kernel turns a damaged file system read-only; it is checked and mounted again under the running recorder."""
        disk = self.disk(options="errors=remount-ro")
        trigger = "/sys/fs/ext4/%s/trigger_fs_error" % os.path.basename(disk.device)
        if not os.path.exists(trigger):
            raise unavailable("this kernel has no " + trigger)
        self.one = lab_on(disk.path, flags=[*FLAGS, "--blocks=%d" % BLOCKS])
        with self.one:
            self.one.start()
            traffic = self.traffic()
            time.sleep(1)
            # What the journal has not got yet is gone with it: the directories were made just before.
            lab.run(["sync", "-f", disk.path])
            with open(trigger, "w") as file:
                file.write("a test")
            self.wait_trouble("thread 0", "Read-only file system")
            self.wait_lost()
            disk.unmount()
            lab.wait_for(lambda: attempt("losetup", disk.device) != "", 20, "every file of the old mount to be closed")
            attempt("e2fsck", "-fy", disk.image)
            disk.mount()
            self.wait_well()
            time.sleep(1)
            self.account(traffic)
            self.check_log()
            self.assertGreater(len(self.one.packets("last=2s")), 0)

    def test_dead_disk_is_replaced(self):
        store = self.memory("192m")
        disk = self.disk(160, image=store + "/image")
        self.one = lab_on(disk.path, flags=[*FLAGS, "--blocks=%d" % BLOCKS])
        with self.one:
            self.one.start()
            traffic = self.traffic()
            time.sleep(1)
            # Everything on it is zeros from now on, and nothing can be written.
            os.truncate(disk.image, 0)
            attempt("dd", "if=/dev/zero", "of=" + store + "/rest", "bs=1M")
            self.wait_trouble("thread 0")
            self.wait_lost()
            disk.unmount()
            fresh = Disk(disk.path, 192)
            for name in ("/pkt", "/idx"):
                os.mkdir(fresh.path + name)
            self.wait_well()
            time.sleep(1)
            self.account(traffic)
            self.check_log()
            self.assertGreater(len(self.one.packets("last=2s")), 0)


if __name__ == "__main__":
    lab.enter()
    lab.main()
