"""What is said of the jobs of a stopped run."""

import pytest

from decon3d.slurm import left
from decon3d.slurm.left import in_words, jobs_left


def test_cancelled_jobs_are_waited_for():
    answers, asked, slept = ["12\n13\n", "13\n", ""], [], []

    def ask(command):
        asked.append(command)
        return answers.pop(0)

    assert jobs_left("decon3d_1", ask=ask, sleep=slept.append) == []
    assert len(slept) == 2 and "--name=decon3d_1" in asked[0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("", "Its SLURM jobs are cancelled; none is left in the queue."),
        ("12\n", "1 SLURM job is still in the queue; end the rest with `scancel --name=x`."),
        (None, "SLURM did not answer; look with `squeue --name=x`."),
    ],
)
def test_the_rest_of_the_queue_is_a_sentence(monkeypatch, answer, said):
    monkeypatch.setattr(left, "PATIENCE_S", 0.0)
    found = jobs_left("x", ask=lambda command: answer, sleep=lambda seconds: None)
    assert in_words("x", found) == said
