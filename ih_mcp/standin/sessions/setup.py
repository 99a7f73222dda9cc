"""The configuration of a session, and which changes of it are allowed. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ih_mcp.standin.credential_store import RefusedError
from ih_mcp.wire.dialects import Dialect
from ih_mcp.wire.messages import Config

_RATES = (16_000, 24_000)  # sdk 1.3.4
AUDIO_MODEL = "inter-2-audio"  # sdk 1.3.4
AUDIO_SIGNALS = (  # sdk 1.3.4: those it can hear
    "agreement",
    "confidence",
    "frustration",
    "hesitation",
    "interest",
    "uncertainty",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSetup:
    """The configuration of a session, with the changes that it allows."""

    dialect: Dialect
    served: tuple[str, ...]
    """Models with a backend."""
    has_feedback: bool
    config: Config = field(default_factory=lambda: Config(include=()))
    pcm_hertz: int | None = None
    """The rate of raw samples; None where binary messages are containers."""

    @property
    def hears_only(self) -> bool:
        """Whether pictures are ignored."""
        return self.config.model == AUDIO_MODEL

    @property
    def signals(self) -> tuple[str, ...]:
        """The signal types a session can report."""
        return AUDIO_SIGNALS if self.hears_only else self.dialect.signals

    @property
    def acknowledged(self) -> Config:
        """The configuration that `session.updated` acknowledges."""
        return self.config

    def with_model(self, model: str | None) -> SessionSetup:
        """The set-up with the model that the URL names.

        Raises:
            RefusedError: `ih4005` if the model is unknown; `ih1003` if it has no backend.
        """
        if not self.dialect.models:
            return self
        model = model or self.dialect.models[0]
        if model not in self.dialect.models:
            raise RefusedError("ih4005", f"Unknown model '{model}'.")
        return replace(self, config=replace(self.config, model=self._served(model)))

    def with_config(self, asked: Config, *, has_media: bool) -> SessionSetup:
        """The set-up with the configuration that a client asks for.

        Args:
            has_media: Whether media was received already; then model and audio format are fixed.

        Raises:
            RefusedError: `ih6001`, and the old configuration holds; `ih1003`, and the session is
                over.
        """
        model = self._model(asked.model, has_media=has_media)
        config = Config(
            include=select_known(asked.include, self.dialect.includes),
            goal_dimensions=(
                select_known(asked.goal_dimensions, self.dialect.goal_dimensions) or None
                if self.has_feedback
                else None
            ),
            model=model,
            audio_format=asked.audio_format or self.config.audio_format,
        )
        hertz = self.pcm_hertz
        if asked.audio_format is not None:
            hertz = _require_hertz(asked, model)
            if has_media and hertz != self.pcm_hertz:
                raise RefusedError("ih6001", "The audio format is fixed once audio was sent.")
        return replace(self, config=config, pcm_hertz=hertz)

    def _model(self, asked: str | None, *, has_media: bool) -> str | None:
        if asked is None or asked == self.config.model:
            return self.config.model
        if asked not in self.dialect.models:  # sdk 0.17: inter-2-deep too; skill v2: any on v1
            raise RefusedError("ih6001", f"The model '{asked}' cannot be selected here.")
        if has_media:
            raise RefusedError("ih6001", "The model is fixed once media was sent.")
        return self._served(asked)

    def _served(self, model: str) -> str:
        if model not in self.served:
            raise RefusedError("ih1003", f"No backend serves '{model}' now.")
        return model


def select_known(asked: tuple[str, ...] | None, values: tuple[str, ...]) -> tuple[str, ...]:
    """The values that are asked for; unknown ones are ignored (docs: v1 skill)."""
    return tuple(name for name in values if name in (asked or ()))


def _require_hertz(asked: Config, model: str | None) -> int:
    said = dict(asked.audio_format or {})
    hertz = said.pop("sample_rate", None)
    is_right = said == {"encoding": "pcm_s16le", "channels": 1} and hertz in _RATES
    if model != AUDIO_MODEL or not is_right or not isinstance(hertz, int):
        raise RefusedError("ih6001", "This audio format cannot be used in this session.")
    return hertz
