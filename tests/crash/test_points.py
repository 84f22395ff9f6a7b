"""Crash points over real mounts, the short seeded form; ./dev campaign runs the long one."""

import collections
import concurrent.futures
import os
import random

import points
import pytest

ALL = os.environ.get("DKFS_TEST_ALL") == "1"
SEED = int(os.environ.get("DKFS_TEST_SEED") or random.randrange(1 << 30))
SAID = [f"DKFS_TEST_SEED={SEED}"]
DONE = collections.Counter()  # crash points, and operations by kind
WORKERS = 3


def run_all(plans):
    """Runs (plan, seed) pairs side by side; fails with every violation found."""
    violations, done = [], []

    def one(pair):
        try:
            return points.run_point(*pair)
        except points.Violation as violation:
            violations.append(str(violation))
            return None

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for point in pool.map(one, plans):
            if point is not None:
                done.append(point)
                DONE["points"] += point.points if point.fired else 0
                DONE.update(point.kinds)
    assert not violations, f"DKFS_TEST_SEED={SEED}\n" + "\n".join(violations)
    return done


def test_kills_at_random_times():
    done = run_all([("random", SEED + i) for i in range(200 if ALL else 30)])
    assert sum(point.fired for point in done) == len(done), "a kill missed"
    assert len({note for point in done for note in point.notes}) >= 3


def test_every_fault_point_is_reached_or_has_a_reason():
    named = [name for name in points.run(points.ORACLE, "points").stdout.split() if not name.startswith("bug.")]
    reached = [name for names in points.REACH.values() for name in names]
    assert sorted(reached + list(points.UNREACHED)) == sorted(named)


def test_kills_at_every_fault_point():
    """Each at a pass by seed; one that has not met its pass is tried again at the first."""
    plans = [f"{plan}:{name}" for plan, names in points.REACH.items() for name in names]
    missed = {point.plan for point in run_all([(plan, SEED) for plan in plans]) if not point.fired}
    for attempt in range(1, 4):
        again = run_all([(plan + "!", SEED + attempt) for plan in sorted(missed)])
        missed -= {point.plan.rstrip("!") for point in again if point.fired}
    assert not missed, f"never reached: {missed}"


def test_kills_on_the_way_back_from_a_kill():
    names = [name for name in points.REACH["load"] if not name.startswith(("ops.", "capture.", "daemon.", "store.append"))]
    names += points.REACH["recovery"]
    chosen = names * 5 if ALL else random.Random(SEED).sample(names, 20)
    done = run_all([(f"recovery:{name}", SEED + i) for i, name in enumerate(chosen)])
    assert any(point.fired for point in done)


def test_every_kind_of_failure_of_a_fixed_load():
    specs = points.failures(points.count_passes(1))
    assert len(specs) > 500
    chosen = specs if ALL else random.Random(SEED).sample(specs, 50)
    run_all([(f"fail:{spec}", 1) for spec in chosen])


def test_a_wrong_tree_is_found():
    """The judge itself, over a mount: each way of spoiling what a load left behind."""
    point = points.Point("random", SEED)
    try:
        point.mount()
        point.setup()
        point.load()
        point.check("as it is")
        (point.fs.dir / "t0" / "resurrected").touch()
        assert found(point)
        (point.fs.dir / "t0" / "resurrected").unlink()
        with open(point.fs.dir / "shared" / "d0", "r+b") as f:
            f.seek(5000)
            f.write(b"stale")
        assert found(point)
    finally:
        point.close()


@pytest.mark.parametrize("bug", ["bug.name_stays", "bug.stale_block"])
def test_a_seeded_bug_is_found(bug):
    """One name that stays, or one block that stays as it was: some of the seeds lead to a tree that shows it."""
    for seed in range(60):
        try:
            points.run_point(f"bug:{bug}", SEED + seed)
        except points.Violation:
            return
    raise AssertionError("nobody saw it")


def found(point):
    try:
        point.check("spoiled")
    except points.Violation:
        return True
    return False


def test_everything_was_exercised():
    """Runs last: a run that exercised nothing proves nothing."""
    SAID.append(f"{DONE['points']} crash points, {DONE['ended']} operations, {DONE['failed']} failed")
    if DONE["points"] < 100:  # some tests were left out
        return
    idle = [kind for kind, count in DONE.items() if count == 0 and kind not in ("died", "failed", "tmpfile")]
    assert not idle, f"never done: {idle}"
    assert DONE["points"] >= 120
