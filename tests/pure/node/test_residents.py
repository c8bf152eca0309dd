"""Who lives at endpoints, as a refusal names them."""

from __future__ import annotations

import pytest

from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Metadata, Resource
from tortie.node.residents import listed, resident


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        ({"org.tortie/container": "mesos-cf8fbe28", "org.tortie/task-name": "frontend"}, "frontend"),
        ({"org.tortie/container": "one"}, "one"),
        ({}, "default/h1-cni-box-eth0"),
    ],
)
def test_a_task_is_called_by_its_name_and_not_by_its_containers(annotations: dict[str, str], said: str) -> None:
    spec = WorkloadEndpointSpec(node="h1", orchestrator="cni", workload="box", endpoint="eth0")
    meta = Metadata(name="h1-cni-box-eth0", namespace="default", annotations=annotations)
    assert resident(Resource(kind=WORKLOAD_ENDPOINT, metadata=meta, spec=spec)) == said


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a"], "1 endpoint of a container is here: a"),
        (["b", "a", "b"], "3 endpoints of containers are here: b (2), a"),
        (["a", *"bcdef", "f", "a"], "8 endpoints of containers are here: a (2), b, c, d, e and 2 more"),
    ],
)
def test_names_that_are_shared_are_counted(names: list[str], said: str) -> None:
    assert listed(names, "here") == said
