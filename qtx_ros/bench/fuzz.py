"""`qtx bench fuzz`: broken bags of every kind, converted. Either the right data comes out, or one clear sentence.

Each case is made, converted and judged in a worker process with bounds on time and memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tqdm import tqdm

from qtx_ros.bench.kinds import KINDS, Kind, recording, small_spec
from qtx_ros.bench.mutations import MUTATIONS, Case
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

# The bag is whole and says something else (a stamp, a pixel, a label); or nothing protects what was changed.
RIGHT, SENTENCE, WRITTEN, UNPROTECTED = "right data", "sentence", "as written", "unprotected"
BAD = ("wrong data", "traceback", "hang", "memory", "vague")
OUTCOMES = (RIGHT, SENTENCE, WRITTEN, UNPROTECTED, *BAD)
SAVED = {"reads back", "nothing to save"}  # what `qtx recover` may make of a broken bag
SECONDS = 20.0  # a case that takes longer hangs
MEMORY = 400 << 20  # a case that needs more than this beyond what its process had is a bomb [bytes]
_PLACE = re.compile(r"\b(byte|row|table|topic|message_count|key|episode|its end|line|metadata|labels|contract|robot)\b")
_EXCEPTION = re.compile(r"\b(?!QtxError)[A-Z][A-Za-z]*(Error|Exception|Interrupt|Warning)\b")


@dataclass(frozen=True)
class Result:
    """One case and what became of it."""

    number: int
    mutation: str
    kind: str
    outcome: str
    did: str = ""
    reason: str = ""
    seconds: float = 0.0
    rescue: str = ""  # what `qtx recover` made of it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=2000, help="cases (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=0, help="processes (default: one for each core)")
    parser.add_argument("--recover", action="store_true", help="run `qtx recover` on each broken bag, too")
    parser.add_argument("--show", action="store_true", help="print every case")


def main(args: argparse.Namespace) -> int:
    results = run(args.count, args.seed, args.jobs or os.cpu_count() or 1, args.recover, args.show)
    print(table(results, "mutation", list(MUTATIONS)))
    print(table(results, "kind", list(KINDS)))
    for result in results:
        if result.outcome in BAD or result.rescue not in ("", *SAVED):
            told = f"{result.did}: {result.reason} {result.rescue}"
            print(f"{result.outcome}: case {result.number}, {result.kind}, {told}")
    counts = Counter(result.outcome for result in results)
    rescues = Counter(result.rescue for result in results if result.rescue)
    summary = {"benchmark": "fuzz", "count": len(results), "seed": args.seed, **{o: counts[o] for o in OUTCOMES}}
    summary |= {"slowest_s": round(max((r.seconds for r in results), default=0.0), 2), "recover": dict(rescues)}
    print(json.dumps(summary))
    failed = sum(counts[outcome] for outcome in BAD) + len(rescues.keys() - SAVED)
    return int(failed > 0)


def run(count: int, seed: int, jobs: int = 1, recover: bool = False, show: bool = False) -> list[Result]:
    """Make, break, convert and judge `count` bags; kinds and mutations in turn."""
    cases = [(number, *_names(number)) for number in range(count)]
    results: list[Result] = []
    crew: list[_Worker] = []
    folder = tempfile.mkdtemp(prefix="qtx-fuzz-")
    try:
        crew += [_Worker(folder, seed, recover) for _ in range(max(1, min(jobs, count)))]
        with tqdm(total=count, unit="bag", desc="fuzz", disable=None) as bar:
            while len(results) < count:
                for worker in crew:
                    if worker.case is None and cases:
                        worker.give(cases.pop(0))
                for result in _hear(crew):
                    results.append(result)
                    bar.update()
                    if show:
                        print(result)
    finally:
        for worker in crew:
            worker.end()
        shutil.rmtree(folder, ignore_errors=True)
    return sorted(results, key=lambda result: result.number)


def _names(number: int) -> tuple[str, str]:
    """Mutation and kind of a case: every pair comes up as often."""
    kinds, mutations = list(KINDS), list(MUTATIONS)
    return mutations[number % len(mutations)], kinds[(number // len(mutations)) % len(kinds)]


def _hear(crew: list[_Worker]) -> list[Result]:
    """The results that are there, after waiting for the first or for a hang."""
    busy = [worker for worker in crew if worker.case is not None]
    ready = wait([worker.pipe for worker in busy], timeout=1.0)
    return [r for worker in busy if (r := worker.hear(worker.pipe in ready)) is not None]


class _Worker:
    """A process that makes and judges cases; it is replaced when it hangs or dies."""

    def __init__(self, folder: str, seed: int, recover: bool) -> None:
        self._context, self._options = get_context("spawn"), (folder, seed, recover)
        self.case: tuple[int, str, str] | None = None
        self._seconds = 2 * SECONDS if recover else SECONDS
        self._start()

    def _start(self) -> None:
        self.pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_work, args=(theirs, *self._options), daemon=True)
        self._process.start()
        theirs.close()
        self._warm = False

    def give(self, case: tuple[int, str, str]) -> None:
        self.case, self._since = case, time.monotonic()
        self.pipe.send(case)

    def hear(self, ready: bool) -> Result | None:
        """The result of the case in hand, once there is one."""
        number, mutation, kind = self.case
        if ready:
            try:
                result = self.pipe.recv()
                self.case, self._warm = None, True
                return result
            except EOFError:
                self._process.join()
                bad = Result(number, mutation, kind, "memory", reason=f"the process died: {self._process.exitcode}")
        elif time.monotonic() - self._since > self._seconds + (0 if self._warm else 60):
            bad = Result(number, mutation, kind, "hang", seconds=self._seconds)
        else:
            return None
        self.end()
        self._start()
        self.case = None
        return bad

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()


# --- in the worker ---


def _work(pipe: Connection, folder: str, seed: int, recover: bool) -> None:
    """Take cases until the pipe closes; all that is written lies in the folder, which others remove."""
    tempfile.tempdir = tempfile.mkdtemp(dir=folder)
    judge = _Judge(Path(tempfile.mkdtemp()), seed, recover)
    _bound_memory(4 * MEMORY)
    while True:
        try:
            pipe.send(judge.judge(*pipe.recv()))
        except (EOFError, OSError):
            return


def _bound_memory(more: int) -> None:
    """The process gets no more address space than this beyond what it has, so that no bomb takes the machine."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if pages:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, hard))


def _peak() -> int:
    """The most memory this process ever had [bytes]."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class _Judge:
    """Makes cases of one recording, and knows what comes out of it when nothing is broken."""

    def __init__(self, folder: Path, seed: int, recover: bool) -> None:
        self._folder, self._seed, self._recover = folder, seed, recover
        self.spec = small_spec()
        self.messages = recording(self.spec)
        self._sound: dict[str, tuple] = {}

    def sound(self, name: str, kind: Kind) -> tuple:
        """What a bag of this kind is converted to when it is whole."""
        if name not in self._sound:
            bag = kind.write(self._folder / f"sound-{len(self._sound)}", "bag", self.messages)
            found, reason = self._convert(bag, self.spec)
            if found is None:
                raise QtxError(f"the sound bag of kind {name!r} was not converted: {reason}")
            self._sound[name] = found
        return self._sound[name]

    def judge(self, number: int, mutation: str, kind: str) -> Result:
        """Make the case, convert it and say what came of it."""
        sound = self.sound(kind, KINDS[kind])
        folder = self._folder / "case"
        folder.mkdir()
        case = Case(random.Random(f"{self._seed} {number}"), folder, KINDS[kind], self.spec, list(self.messages))
        bag = MUTATIONS[mutation](case)
        before, started = _peak(), time.perf_counter()
        outcome, reason = self._outcome(case, bag, sound)
        if _peak() - before > MEMORY:
            outcome, reason = "memory", f"{(_peak() - before) >> 20} MB more; {reason}"
        seconds = time.perf_counter() - started
        rescue = _rescue(bag) if self._recover and case.robot is None else ""
        shutil.rmtree(folder)
        return Result(number, mutation, kind, outcome, case.did, reason, seconds, rescue)

    def _outcome(self, case: Case, bag: Path, sound: tuple) -> tuple[str, str]:
        try:
            spec = self.spec if case.robot is None else Spec.load(case.robot)
        except QtxError as error:
            return self._sentence(case, case.robot, str(error))
        found, reason = self._convert(bag, spec)
        if found is None:
            return self._sentence(case, bag, reason)
        if found == sound:
            return RIGHT, ""
        return (WRITTEN if case.consistent else "wrong data" if case.kind.checked else UNPROTECTED), ""

    def _sentence(self, case: Case, bag: Path, reason: str) -> tuple[str, str]:
        """Whether what was said is one clear sentence that names the file and the place."""
        told = reason.replace(str(bag), "")
        if "MemoryError" in told:
            return "memory", reason
        if _EXCEPTION.search(told):
            return "traceback", reason
        nameless = case.in_messages and not re.search(r"at byte \d+ on topic '/", told)
        if "\n" in reason or str(bag) not in reason or len(told) > 1200 or nameless:
            return "vague", reason
        return (SENTENCE if _PLACE.search(told) or case.robot or "valid step" in told else "vague"), reason

    def _convert(self, bag: Path, spec: Spec) -> tuple[tuple | None, str]:
        """(what the training set holds of the bag, or None; why not)."""
        from qtx_ros.data.conversion import Options, Task, convert_bag

        out = self._folder / "set"
        shutil.rmtree(out, ignore_errors=True)
        rows = convert_bag(Task(str(bag), "episode", Options(out, spec, codec="raw")))
        failed = [row.reason for row in rows if row.status not in ("converted", "discarded", "refused")]
        if failed:
            return None, failed[0]
        manifests = [json.loads(path.read_text()) for path in sorted(out.glob("*/manifest.json"))]
        facts = ("label", "instruction", "terminated", "truncated", "files")
        return tuple(json.dumps([m[fact] for fact in facts], sort_keys=True) for m in manifests), ""


def _rescue(bag: Path) -> str:
    """What `qtx recover` does with a broken bag: nothing to save, a sentence, or a bag that reads back."""
    from qtx_ros.bags.reader import open_bag
    from qtx_ros.bags.recovery import recover

    try:
        recovered = recover(bag, out=bag.with_name("rescued"))
        if recovered.path is None:
            return "nothing to save"
        with open_bag(recovered.path) as opened:
            opened.check()
        return "reads back"
    except QtxError as error:
        return "nothing to save" if not bag.with_name("rescued").exists() else f"does not read back: {error}"
    except Exception as error:
        return f"traceback: {type(error).__name__}: {error}"


def table(results: list[Result], key: str, names: list[str]) -> str:
    """How often each outcome came up, by mutation or by kind."""
    lines = [f"{key:20} {'cases':>6} " + " ".join(f"{outcome:>11}" for outcome in OUTCOMES)]
    for name in names:
        counts = Counter(result.outcome for result in results if getattr(result, key) == name)
        lines.append(f"{name:20} {counts.total():6} " + " ".join(f"{counts[outcome]:11}" for outcome in OUTCOMES))
    return "\n".join(lines)
