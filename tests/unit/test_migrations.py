"""The steps of the schema: one after the other, so that every database has a way to the newest."""

from importlib import resources

from alembic.config import Config
from alembic.script import ScriptDirectory


def test_the_steps_stand_in_one_line():
    """Two changes that are made side by side both follow the same step; then `fanfare migrate` does nothing at all."""
    config = Config()
    config.set_main_option("script_location", "fanfare.store:migrations")
    script = ScriptDirectory.from_config(config)
    steps = [step.revision for step in script.walk_revisions()]
    files = [
        path.name
        for path in resources.files("fanfare.store.migrations").joinpath("versions").iterdir()
        if path.name[0].isdigit() and path.name.endswith(".py")
    ]
    assert len(script.get_heads()) == 1
    assert sorted(name[:4] for name in files) == sorted(steps)
