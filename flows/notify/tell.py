"""Notify everybody who wants to know, within a short time, whatever happens."""

import platform
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from flows.common import progress
from flows.common.settings import Settings
from flows.notify.config import NotifyConfig, Target, notify_file, read_notify
from flows.notify.event import Event
from flows.notify.memory import Memory
from flows.notify.send import NotDelivered, send


@dataclass(frozen=True)
class Message:
    """An event on its way to a target; `before` counts the same since the last message."""

    target: Target
    event: Event
    before: int = 0


def tell(settings: Settings, event: Event) -> None:
    """Tell an event to the targets that want it; never raises, never takes long.

    The same news is told once in `cool_down_hours`. What cannot be delivered is said in a note and
    tried again with the next event, for a day.
    """
    if notify_file(settings) is None:
        return
    try:
        _tell(settings, event)
    except Exception as error:  # a run does not fail because nobody could be told of it
        progress.note(f"nobody was told of it: {error}")


def _tell(settings: Settings, event: Event) -> None:
    config, memory, now = read_notify(settings), Memory(settings.home.resolve()), time.time()
    try:
        waiting, messages = _claimed(config, memory, event, now)
    except TimeoutError:  # somebody else is looking, who may be telling the same
        raise
    except OSError as error:  # a full disk is news, too
        progress.note(f"told whether or not it was told before: {error}")
        wanted = [target for target in config.targets if event.kind in target.events]
        waiting, messages = [], [Message(target, event) for target in wanted]
    failed = deliver([*waiting, *messages], config)
    for place, why in failed.items():
        if place >= len(waiting):
            progress.note(f"{messages[place - len(waiting)].target.name} was not told: {why}")
    with suppress(OSError):  # said above, or what was claimed is free again in a while
        for place, message in enumerate([*waiting, *messages]):
            memory.told(message.target.name, message.event, now, arrived=place not in failed)


def _claimed(
    config: NotifyConfig, memory: Memory, event: Event, now: float
) -> tuple[list[Message], list[Message]]:
    """Messages that are ours to tell: those that waited, and the new ones."""
    targets = {target.name: target for target in config.targets}
    waiting = [
        Message(targets[name], old) for name, old in memory.claim_waiting(now) if name in targets
    ]
    messages = []
    for target in config.targets:
        if event.kind in target.events:
            before = memory.claim(target.name, event, now, config.cool_down_hours * 3600)
            if before is not None:
                messages.append(Message(target, event, before))
    return waiting, messages


def try_targets(config: NotifyConfig) -> dict[str, str]:
    """Send a message to every target, whatever it was told before.

    Returns:
        Why it did not arrive, by the name of the target.
    """
    reason = f"a test message from {platform.node()}"
    event = Event("test", "dagmm notify --test", reason)
    messages = [Message(target, event) for target in config.targets]
    failed = deliver(messages, config)
    return {messages[place].target.name: why for place, why in failed.items()}


def deliver(messages: Sequence[Message], config: NotifyConfig) -> dict[int, str]:
    """Send messages, those to different targets at the same time.

    Returns:
        Why messages did not arrive, by their place; whatever takes longer than the time-out has
        not.
    """
    failed = dict.fromkeys(range(len(messages)), f"no answer in {config.timeout_seconds:g} s")
    by_target: dict[str, list[int]] = {}
    for place, message in enumerate(messages):
        by_target.setdefault(message.target.name, []).append(place)

    def work(places: list[int]) -> None:
        for place in places:
            message = messages[place]
            try:
                send(message.target, message.event, config.timeout_seconds, message.before)
            except NotDelivered as error:
                failed[place] = str(error)
            except Exception as error:  # of a plug-in; its text may hold the address
                failed[place] = type(error).__name__
            else:
                failed.pop(place, None)

    # Not in a pool, whose threads the interpreter would wait for at its end.
    threads = [
        threading.Thread(target=work, args=(places,), daemon=True) for places in by_target.values()
    ]
    until = time.monotonic() + config.timeout_seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return dict(failed)
