# SPDX-License-Identifier: MIT
"""How Python's threads wait for each other: queue, condition, event, barrier, executor; and a
server that answers JSON over sockets. Same form as kernels.py."""
import concurrent.futures
import json
import queue
import random
import socket
import threading

ROUNDS = 48  # to be divided among the threads


def work(n):
    """A little of what a thread does between two waits."""
    total = 0
    for i in range(40):
        total += (n * i) % 7
    return total


class Pattern:
    """Each thread leaves a number; their sum must be what one thread gets."""

    def setup(self, threads):
        self.threads = threads
        self.sums = [0] * threads

    def mine(self, index):
        return range(index, ROUNDS, self.threads)

    def result(self):
        return sum(self.sums)


class Queue(Pattern):
    """All threads put what they have, then take what they get, from one queue."""

    def setup(self, threads):
        super().setup(threads)
        self.queue = queue.Queue()

    def share(self, index):
        for n in self.mine(index):
            self.queue.put(n)
            self.sums[index] += work(self.queue.get())


class Condition(Pattern):
    """Threads take turns, as a condition tells them."""

    def setup(self, threads):
        super().setup(threads)
        self.condition = threading.Condition()
        self.turn = 0

    def share(self, index):
        for n in self.mine(index):
            with self.condition:
                self.condition.wait_for(lambda n=n: self.turn == n)
                self.turn += 1
                self.condition.notify_all()
            self.sums[index] += work(n)


class Shuffled(Condition):
    """The same with turns in no order. In order, threads that begin to wait in the order of their
    turns are kept so by a GIL that is given in the order of arrival: none wakes for nothing."""

    def setup(self, threads):
        super().setup(threads)
        rng = random.Random(1)
        self.owners = []
        while len(self.owners) < ROUNDS:
            self.owners += rng.sample(range(threads), threads)

    def mine(self, index):
        return [n for n in range(ROUNDS) if self.owners[n] == index]


class Event(Pattern):
    """Each round's event is set by the round before."""

    def setup(self, threads):
        super().setup(threads)
        self.events = [threading.Event() for _ in range(ROUNDS + 1)]
        self.events[0].set()

    def share(self, index):
        for n in self.mine(index):
            self.events[n].wait()
            self.events[n + 1].set()
            self.sums[index] += work(n)


class Barrier(Pattern):
    """All meet after each round."""

    def setup(self, threads):
        super().setup(threads)
        self.barrier = threading.Barrier(threads)

    def share(self, index):
        for n in self.mine(index):
            self.sums[index] += work(n)
            self.barrier.wait()


class Executor(Pattern):
    """One thread hands work to a pool of so many."""

    def setup(self, threads):
        super().setup(threads)
        self.pool = concurrent.futures.ThreadPoolExecutor(threads)
        list(self.pool.map(work, range(threads)))

    def share(self, index):
        if index == 0:
            self.sums[0] = sum(self.pool.map(work, range(ROUNDS)))

    def result(self):
        self.pool.shutdown()
        return super().result()


class Server(Pattern):
    """Each thread serves a connection: a line of JSON in, one out. The clients' lines are already
    there, so that nobody waits for the network."""

    def setup(self, threads):
        super().setup(threads)
        self.pairs = [socket.socketpair() for _ in range(threads)]
        for index, (_, client) in enumerate(self.pairs):
            lines = [json.dumps({"n": n, "name": "request", "list": [n, n + 1, 2.5]})
                     for n in self.mine(index)]
            client.sendall("".join(line + "\n" for line in lines).encode())
            client.shutdown(socket.SHUT_WR)

    def share(self, index):
        server = self.pairs[index][0]
        with server, server.makefile("rb") as lines:
            for line in lines:
                request = json.loads(line)
                answer = {"n": request["n"], "sum": sum(request["list"]) + work(request["n"])}
                server.sendall(json.dumps(answer).encode() + b"\n")

    def result(self):
        total = 0
        for _, client in self.pairs:
            with client, client.makefile("rb") as lines:
                total += sum(json.loads(line)["sum"] for line in lines)
        return total
