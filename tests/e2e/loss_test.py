"""Nothing is lost: what was sent is stored, or counted as lost, with 1, 2 and 4 threads; per-thread answers add up."""
import os
import random
import unittest

import lab

PACKETS_PER_SECOND = 100_000
PACKETS = 200_000


def made_capture(path, count=20_000):
    """A capture of many flows and sizes from a fixed seed."""
    chance = random.Random(4)
    packets = []
    for i in range(count):
        frame = lab.udp4("10.0.%d.%d" % (chance.randrange(16), chance.randrange(256)), "192.168.1.%d" % chance.randrange(256),
                         chance.randrange(1024, 65536), chance.choice([53, 80, 443, 123]),
                         b"%08d" % i + b"z" * chance.choice([0, 40, 500, 1400]), protocol=chance.choice([6, 17]))
        packets.append((i, len(frame), frame))
    lab.write_pcap(path, packets)
    return path


class Loss(unittest.TestCase):
    def check(self, threads):
        with lab.Lab(threads=threads) as one:
            files = lab.ethernet_pcaps() or [made_capture(one.root + "/made.pcap")]
            loops = ["--loops", "1"] if lab.ethernet_pcaps() else ["--loops", str(PACKETS // 20_000)]
            sent = lab.replay(files, "--pps", str(PACKETS_PER_SECOND), *loops)
            one.wait_stored(sent["sent"])
            stored, lost = one.counter("stored_packets"), one.lost()
            print("threads=%d sent=%d stored=%d lost=%d in %.1f s" % (threads, sent["sent"], stored, lost, sent["seconds"]))
            self.assertEqual(sent["sent"], stored + lost)
            answer = one.packets("last=1h")
            self.assertEqual(len(answer), stored)
            self.assertTrue(all(a[0] <= b[0] for a, b in zip(answer, answer[1:])), "time order over all threads")
            one.stop()
            per_thread = [self.alone(one, number) for number in range(threads)]
            print("per thread:", per_thread)
            self.assertEqual(sum(per_thread), stored)
            if threads > 1:
                self.assertGreater(sum(1 for n in per_thread if n > 0), 1, "fanout spreads flows over the threads")
            one.start()

    def alone(self, whole, number):
        """The packets of one thread's directories, asked from a server that has only these."""
        directory = whole.root + "/alone%d" % number
        os.mkdir(directory)
        with lab.Lab(directory=directory, start=False) as single:
            single.config["Threads"] = [whole.threads[number]]
            with open(single.config_path, "w") as file:
                lab.json.dump(single.config, file)
            single.start()
            return len(single.packets("last=1h"))

    def test_1_thread(self):
        self.check(1)

    def test_2_threads(self):
        self.check(2)

    def test_4_threads(self):
        self.check(4)


if __name__ == "__main__":
    lab.enter()
    lab.main()
