from pathlib import Path

from cluster.postmortem import death

DEAD = (
    "The actor died unexpectedly.\n\tpid: 4711\n\tip: 10.0.0.7\nThe actor is dead because its worker process has died."
)


def test_a_process_that_left_no_word_was_killed_by_signal_9(tmp_path: Path) -> None:
    log = tmp_path / "worker-abc-01000000-4711.err"
    log.write_text("all well\n")
    end = death(DEAD, tmp_path)
    assert str(end) == "(pid 4711 on 10.0.0.7) was killed by signal 9 (SIGKILL)"
    assert end.log == str(log)


def test_a_signal_that_the_log_tells_of_is_named(tmp_path: Path) -> None:
    (tmp_path / "worker-abc-01000000-4711.err").write_text("*** SIGSEGV received at time=1 on cpu 0 ***\n")
    assert death(DEAD, tmp_path).found == "was killed by signal 11 (SIGSEGV)"


def test_without_the_log_on_this_node_it_says_where_to_look(tmp_path: Path) -> None:
    end = death(DEAD, tmp_path)
    assert (end.found, end.log) == ("died", "worker-*-4711.err in the Ray logs on 10.0.0.7")
