"""What a message says of itself."""

from __future__ import annotations

from ih_mcp.wire.messages import Config


def test_a_configuration_names_what_of_it_is_not_held() -> None:
    asked = Config(include=("signals", "engagement"), goal_dimensions=("trust",))
    assert asked.missing_from(asked) == {}
    held = Config(include=("engagement",), model="inter-2")
    assert asked.missing_from(held) == {"include": ["signals"], "goal_dimensions": ["trust"]}
    assert Config().missing_from(held) == {}
