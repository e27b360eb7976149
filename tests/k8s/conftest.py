"""Fixtures for what runs on Kubernetes."""

import pytest

from deploy.kubernetes import OVERLAYS
from tests.k8s.manifests import Manifests


@pytest.fixture(params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """Each overlay, one after the other."""
    return Manifests(request.param)
