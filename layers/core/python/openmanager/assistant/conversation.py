"""One question of a conversation, from what was said to the answer, step by step."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from openmanager.assistant import model, runbooks
from openmanager.assistant.answers import BY_INTENT
from openmanager.assistant.answers.steps import RUNBOOK, ask_again
from openmanager.assistant.described import Asked
from openmanager.assistant.draft import Draft
from openmanager.assistant.figures import zone
from openmanager.assistant.understanding import Question, remembered, understand
from openmanager.assistant.wording import SUGGESTIONS
from openmanager.errors import NotFound
from openmanager.security.roles import Identity
from openmanager.settings import settings
from openmanager.stores import sessions
from openmanager.tools import table
from openmanager.tools.call import Call, Caller, Refused

# Where names of servers are known from, before anything is understood: the first costs one command.
_JUDGED, _SENDING = Call("list_predictions"), Call("list_servers")


def ask(asked: Asked, who: Identity, now_s: float | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """`understood`, `looked_up` for each tool, then `answer`, which holds everything. Raises StoreUnavailable.

    The same question on the same data in the same minute has the same answer, to the byte.
    """
    now_s = time.time() if now_s is None else now_s
    caller, whose = Caller(who, int(now_s * 1000)), f"{who.role}|{who.name}"
    before = sessions.read(whose, asked.session) if asked.session else {}
    looked: dict[str, Any] = {}

    def use(call: Call) -> Any:
        key = repr((call.tool, sorted(call.arguments.items())))
        if key not in looked:
            of_ours = call.tool != RUNBOOK
            looked[key] = table.use(call, caller) if of_ours else runbooks.find(call.arguments, who)
        return looked[key]

    judged = use(_JUDGED)["predictions"]
    known = {p["server"]: p["role"] for p in judged}
    question = understand(asked.question, list(known), set(known.values()), before, asked.language)
    if question.named.unknown:
        # It may have begun to send a moment ago.
        known |= {s["id"]: s.get("role", "") for s in use(_SENDING)["servers"]}
        question = understand(asked.question, list(known), set(known.values()), before, asked.language)
    question = replace(question, now_s=now_s, mode=asked.mode, offset_m=asked.offset_m)
    understood = _understood(question)
    yield "understood", understood
    draft, source, why = Draft(question), "rules", ""
    if asked.model or _strange(question):
        try:
            for call in _ask_model(draft, who, use):
                yield "looked_up", _looked(call)
            source = "model"
        except model.Unanswered as reason:
            why = reason.why
    if source == "rules":
        for call in _unanswerable(draft) or _answer(draft, use):
            yield "looked_up", _looked(call)
        # Who did not ask for a model need not hear that there is none.
        if why and (asked.model or why != "unset"):
            draft.say(f"model {why}")
    if asked.session:
        sessions.write(whose, asked.session, remembered(question, draft.about))
    answer = draft.answer()
    yield "answer", {"understood": understood, "answer": answer, "source": source, "session": asked.session or None}


def _looked(call: Call) -> dict[str, Any]:
    return {"tool": call.tool, "arguments": dict(call.arguments)}


def _strange(q: Question) -> bool:
    """Whether the rules do not know what is asked, rather than of whom, or that there is nothing of the kind."""
    return not (q.intent or q.absent or q.named.unclear or q.named.unknown)


def _ask_model(draft: Draft, who: Identity, use: Any) -> Iterator[Call]:
    """Fill in the draft with what the model says, from the tools of the caller's role. Raises model.Unanswered."""
    asked, q = settings().model, draft.question
    if asked is None:
        raise model.Unanswered("unset", "no model is set")
    told = yield from model.ask(asked, q, [n for n, tool in table.TOOLS.items() if who.role in tool.roles], use)
    now = q.now_s // 60 * 60
    for call, result in told.looked:
        draft.look(call, result, call.arguments.get("from", now), call.arguments.get("to", now))
    for line in told.lines:
        draft.tell(line)


def _understood(q: Question) -> dict[str, Any]:
    window = None
    if q.window:
        name, start, stop = q.span("")
        window = {"name": name, "from": start, "to": stop}
    return {
        "intent": q.intent or None,
        "entities": q.entities(),
        "window": window,
        "language": q.language,
        "mode": q.mode,
        "zone": zone(q.offset_m),
    }


def _answer(draft: Draft, use: Any) -> Iterator[Call]:
    """Let the intent's answer ask for what it needs, and hand it what there is: the calls, as they are made."""
    steps = BY_INTENT[draft.question.intent](draft)
    try:
        call = next(steps)
        while True:
            yield call
            try:
                result = use(call)
            except (Refused, NotFound) as nothing:
                call = steps.throw(nothing)
            else:
                call = steps.send(result)
    except StopIteration:
        return
    except Refused as refusal:
        draft.say("refused", roles=", ".join(refusal.roles))
    except NotFound:
        draft.say("not there", server=", ".join(draft.question.servers))


def _unanswerable(draft: Draft) -> Iterator[Call] | None:
    """What can be said without looking further: nothing of the kind is stored, or it is not clear whom it is about."""
    q = draft.question
    if q.absent:
        draft.say("absent")
    elif q.named.unclear:
        word, names = q.named.unclear[0]
        draft.say("which of", word=word)
        for name in names:
            draft.choose(name, ask_again(draft, name, q.metric or "cpu_utilization"))
    elif q.named.unknown and not q.servers:
        for word, near in q.named.unknown:
            draft.say("unknown server", word=word)
            if near:
                draft.say("near", names=draft.listed(list(near)))
            for name in near:
                draft.choose(name, q.text.lower().replace(word, name))
    elif not q.intent:
        draft.say("not understood")
        for suggestion in SUGGESTIONS[q.language]:
            draft.choose(suggestion, suggestion)
    else:
        return None
    return iter(())
