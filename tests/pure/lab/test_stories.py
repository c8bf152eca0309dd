"""Every document's story: its steps are found by their names, and what there is not is told."""

from __future__ import annotations

import pytest

from tortie.base.errors import Invalid
from tortie.lab.documents import DOCUMENTS
from tortie.lab.walks.story import Story, open_story

STORIES = [open_story(name) for name in DOCUMENTS]
each = pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)


@each
def test_a_story_is_whole(story: Story) -> None:
    keys = [step.key for step in story.steps]
    assert len(set(keys)) == len(keys)
    assert set(story.stages) <= set(keys)
    assert set(story.aliases.values()) <= set(keys)
    assert not set(story.aliases) & set(story.stages)
    assert story.peers_from in ("", *keys)
    assert story.stays_at in ("", *keys)
    assert story.end == keys[-1]
    assert all(set(stage.inbound) == set(story.probing.networks) for stage in story.stages.values())


@each
def test_a_step_is_found_by_its_key_and_by_its_other_names(story: Story) -> None:
    assert [story.index(step.key) for step in story.steps] == list(range(len(story.steps)))
    for alias, key in story.aliases.items():
        own = alias in {step.key for step in story.steps}
        assert (story.index(alias) == story.index(key)) is not own, "a step's own key is that step"


@each
def test_a_step_that_there_is_not_is_told_with_those_that_there_are(story: Story) -> None:
    with pytest.raises(Invalid, match=f"{story.name} has no step 77; it has .*{story.end}"):
        story.index("77")
    with pytest.raises(Invalid, match=f"step 1 of {story.name} has no matrix; those with one: "):
        story.check_step(None, None, "1")  # type: ignore[arg-type]
