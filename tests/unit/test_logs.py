"""How a job ends that goes wrong: one line on the terminal, everything in the log's file."""

import re

import pytest

from decon3d.errors import UserError, reading, reason
from decon3d.logs import job_log, log, progress


def test_a_user_error_is_one_line_in_both(tmp_path, capsys):
    path = tmp_path / "logs" / "job.log"
    with pytest.raises(SystemExit) as ended, job_log(path):
        log.info("half done")
        raise UserError("the file a.tif is damaged; copy it again")
    assert ended.value.code == 1
    for text, count in ((path.read_text(), 3), (capsys.readouterr().err, 1)):
        lines = text.splitlines()
        assert len(lines) == count
        assert lines[-1].endswith(" E the file a.tif is damaged; copy it again")


def test_the_terminal_shows_progress_and_each_warning_once(tmp_path, capsys):
    path = tmp_path / "job.log"
    with job_log(path):
        for _ in progress(range(3), what="blocks", seconds=0):
            log.info("a detail")
            log.warning("look at %s", "this")
    lines = capsys.readouterr().err.splitlines()
    assert sum("look at this" in line for line in lines) == 1
    assert sum("blocks: " in line for line in lines) >= 1 and "a detail" not in str(lines)
    assert path.read_text().count("look at this") == path.read_text().count("a detail") == 3


def test_amounts_in_progress_have_few_digits(tmp_path):
    path = tmp_path / "job.log"
    with job_log(path), progress(total=18648576.0, what="rl", unit="voxel", seconds=0) as bar:
        bar.update(4662144.000000002)
    line = path.read_text().splitlines()[-1]
    assert re.search(r" I rl: 4\.66/18\.6 Mvoxel \(25 %\), \S+ Mvoxel/s, \d\d:\d\d left$", line)


def test_the_traceback_of_another_error_is_in_the_file_only(tmp_path, capsys):
    path = tmp_path / "job.log"
    with pytest.raises(SystemExit) as ended, job_log(path):
        raise ZeroDivisionError("division\nby zero")
    assert ended.value.code == 1
    assert "Traceback (most recent call last)" in path.read_text()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"unexpected ZeroDivisionError: division by zero; traceback in {path}")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("axes"), "KeyError: 'axes'"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (RuntimeError(), "RuntimeError"),
        (ValueError("\n first line \nsecond"), "first line"),
        (FileNotFoundError(2, "No such file or directory", "a"), "No such file or directory"),
    ],
)
def test_any_error_while_reading_is_one_line_with_the_file(error, said):
    assert reason(error) == said
    with pytest.raises(UserError) as caught, reading("a.tif, plane 3"):
        raise error
    assert str(caught.value) == f"a.tif, plane 3 cannot be read: {said}"
    with pytest.raises(UserError, match=r"^as it is$"), reading("a.tif"):
        raise UserError("as it is")
