"""The steps of a deployment, in order."""

import hashlib
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from openmanager.parameters import name_of

from infra.administrator import NAME, first_administrator, has_nobody
from infra.aws import Aws
from infra.deploy import programs, settings
from infra.deploy.cloudformation import run_osls
from infra.deploy.failure import CannotDeploy
from infra.deploy.smoke import Installation, smoke
from infra.doctor import cloud, configured, postgres, redis
from infra.doctor.clock import clock
from infra.doctor.examine import rest_of
from infra.doctor.finding import SIGNS, Finding
from infra.doctor.place import Addresses, Place, addresses
from infra.migrations.apply import MigrationChanged, apply

CHECKOUT = Path(__file__).resolve().parents[2]

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Deployment:
    """What is wanted."""

    aws: Aws
    arch: str
    settings_file: Path | None = None
    params: tuple[str, ...] = ()
    packaged: bool = False
    dry_run: bool = False


@dataclass
class Steps:
    """One run. `name` is the step that it is at, `changed` what it has changed so far."""

    wanted: Deployment
    say: Say
    name: str = "start"
    changed: list[str] = field(default_factory=list)

    def run(self) -> None:
        """All of it. Raises CannotDeploy or AwsRefused at the first step that fails."""
        osls = self._programs()
        self._account()
        plan = self._settings()
        place = Place(self.wanted.aws.stage, plan.env, aws=self.wanted.aws)
        self._stores(place)
        params = self._params(plan.env)
        if self.wanted.dry_run:
            self._would(plan, osls, params)
            return
        self._write(plan)
        self._migrate(place)
        self._package()
        self._deploy(osls, [*params, f"settings={self._as_of()}"])
        at = self._addresses()
        self._smoke(at, place)
        login = self._first_login(at.api, place.key)
        self._welcome(at, login)

    def _begin(self, name: str) -> None:
        self.name = name

    def _done(self, text: str, sign: str = "✓") -> None:
        self.say(f"  {sign} {self.name:<9} {text}")

    def _judge(self, findings: Iterable[Finding]) -> None:
        """Say what was found. Raises CannotDeploy if anything failed, for the last of that, once all is told."""
        for finding in (ordered := sorted(findings, key=lambda finding: finding.state == "failed")):
            self.name = finding.check
            if finding is ordered[-1] and finding.state == "failed":
                raise CannotDeploy(finding.what, finding.do)
            if finding.state != "skipped":
                self._done(f"{finding.what}\n    → {finding.do}" if finding.do else finding.what, SIGNS[finding.state])

    def _programs(self) -> str:
        self._begin("programs")
        osls = programs.find_osls(os.environ, self.say, install=not self.wanted.dry_run)
        there = Path(osls).exists()
        version = programs.version_of(osls, os.environ) if there else "to be installed"
        if not self.wanted.packaged:
            programs.find_builders(os.environ, self.wanted.arch)
        self._done(f"osls {version}" + ("" if self.wanted.packaged else ", a Python of the runtime, uv"))
        return osls

    def _account(self) -> None:
        self._begin("account")
        account, arn = self.wanted.aws.identity()
        self._done(f"{account}, as {arn}")

    def _settings(self) -> settings.Plan:
        self._begin("settings")
        given = settings.read_file(self.wanted.settings_file) if self.wanted.settings_file else {}
        plan = settings.plan(self.wanted.aws.stage, self.wanted.aws.parameters(), given)
        findings = configured.settings(Place(self.wanted.aws.stage, plan.env, aws=self.wanted.aws))
        self._judge(findings)
        return plan

    def _stores(self, place: Place) -> None:
        self._begin("redis")
        rest = rest_of(place)
        if rest is None:
            raise CannotDeploy("UPSTASH_REDIS_REST_URL and _TOKEN are not set", "put them into the file of SETTINGS=")
        with closing(rest):
            self._judge(redis.reach(rest))
            self._judge(redis.distance(place, rest, cloud.region_ms(place.aws) if place.aws else None))
            self._begin("postgres")
            history, findings = postgres.reach(place)
            self._judge(findings)
            assert history is not None
            with closing(history):
                self._judge(clock(rest, history))

    def _params(self, env: Mapping[str, str]) -> list[str]:
        """What serverless.yml is to be told. What a person names wins over what is worked out."""
        worked_out = {"arch": self.wanted.arch, "shards": str(settings.shards(env))}
        if env.get("OPENMANAGER_OIDC_ISSUER"):
            worked_out["oidc"] = "on"
        named = dict(param.partition("=")[::2] for param in self.wanted.params)
        return [f"{name}={value}" for name, value in {**worked_out, **named}.items()]

    def _would(self, plan: settings.Plan, osls: str, params: Iterable[str]) -> None:
        for name in plan.written:
            made = " (made)" if name in plan.made else ""
            self.say(f"  would write {name_of(self.wanted.aws.stage, name)}{made}")
        self.say("  would apply the migrations that are missing, and package")
        self.say(f"  would run {osls} {' '.join(self._argv('deploy', params))}")
        self.say("  would make the first administrator if there is none, and try every door once")

    def _argv(self, command: str, params: Iterable[str]) -> list[str]:
        where = ["--stage", self.wanted.aws.stage, "--region", self.wanted.aws.region]
        return [command, *where, *(f"--param={param}" for param in params)]

    def _write(self, plan: settings.Plan) -> None:
        self._begin("settings")
        for name in plan.written:
            self.wanted.aws.put_parameter(name_of(self.wanted.aws.stage, name), plan.env[name])
        if plan.written:
            self.changed.append(f"{len(plan.written)} settings written")
            made = f", of which made: {', '.join(plan.made)}" if plan.made else ""
            self._done(f"written below {self.wanted.aws.path}: {', '.join(plan.written)}{made}")

    def _migrate(self, place: Place) -> None:
        self._begin("schema")
        try:
            applied = apply(place.env["DATABASE_URL"])
        except MigrationChanged as error:
            raise CannotDeploy(str(error), "get the file back from git; what is new goes into a new file") from None
        except psycopg.Error as error:
            said = " ".join(str(error).split())[:300]
            do = "nothing of that file was kept; give the user of DATABASE_URL the right to make tables"
            raise CannotDeploy(f"a migration failed: {said}", do) from None
        self.changed += [f"{name} applied" for name in applied]
        self._done(f"applied: {', '.join(applied)}" if applied else "all migrations are applied")

    def _package(self) -> None:
        self._begin("package")
        if self.wanted.packaged:
            report = CHECKOUT / "build" / self.wanted.arch / "report.json"
            if not report.exists():
                raise CannotDeploy(f"nothing is built for {self.wanted.arch}", f"make package ARCH={self.wanted.arch}")
            self._done(f"as it is in build/{self.wanted.arch}")
            return
        done = subprocess.run([sys.executable, "-m", "infra.packaging", "--arch", self.wanted.arch], cwd=CHECKOUT)
        if done.returncode:
            raise CannotDeploy("the layers and functions could not be built", "see what it says above")
        self._done(f"build/{self.wanted.arch}")

    def _as_of(self) -> str:
        """Changes with any setting, so that every function starts anew and reads them; tells nothing of them."""
        return hashlib.sha256(repr(self.wanted.aws.versions()).encode()).hexdigest()[:12]

    def _deploy(self, osls: str, params: Iterable[str]) -> None:
        self._begin("stack")
        log = CHECKOUT / "build" / f"deploy-{self.wanted.aws.stage}.log"
        run_osls(osls, self._argv("deploy", params), {}, log, lambda line: self.say(f"      {line}"))
        self.changed.append(f"{self.wanted.aws.stack_name} deployed")
        self._done(f"{self.wanted.aws.stack_name} is deployed")

    def _addresses(self) -> Addresses:
        at = addresses(self.wanted.aws.stack())
        if not at.api:
            what = f"{self.wanted.aws.stack_name} does not say where its HTTP API is"
            raise CannotDeploy(what, f"see its outputs in the CloudFormation console of {self.wanted.aws.region}")
        return at

    def _first_login(self, api: str, key: str) -> bool:
        """Make the first administrator where there is nobody; whether the password that is stored is still theirs."""
        self._begin("login")
        aws = self.wanted.aws
        password = aws.parameter(aws.login_parameter)
        if password is None:
            if not has_nobody(api, key):
                return False
            # Stored first, or it could be lost.
            password = secrets.token_urlsafe(16)
            aws.put_parameter(aws.login_parameter, password)
            self.changed.append(f"{aws.login_parameter} written")
        return bool(first_administrator(api, key, password))

    def _smoke(self, at: Addresses, place: Place) -> None:
        self._begin("smoke")
        rest = rest_of(place)
        assert rest is not None
        with closing(rest):
            there = Installation(at, place.key, rest, settings.shards(place.env))
            for works in smoke(there):
                self._done(works)

    def _welcome(self, at: Addresses, login: bool) -> None:
        aws = self.wanted.aws
        shown = "--with-decryption --query Parameter.Value --output text"
        read = f"aws ssm get-parameter --region {aws.region} {shown} --name"
        key = name_of(aws.stage, "OPENMANAGER_API_KEY")
        agent = "sh infra/agents/openmanager-agent.sh"
        password = f"{read} {aws.login_parameter}" if login else "as you changed it"
        self.say(f"""
OpenManager {aws.stage} answers

  dashboard  {at.api}/
  API        {at.api}/api/docs
  live feed  {at.live or at.api}/api/stream
  pushes     {at.push or at.api} (by the HTTP API they would cost a third more)
  log in     {NAME}; password: {password}
  a server   OPENMANAGER_URL={at.push or at.api} OPENMANAGER_TOKEN="$({read} {key})" {agent}
             (to try; for good make it a key of its own: docs/api.md, Let people and programs in)
  doctor     make doctor STAGE={aws.stage} REGION={aws.region}
  remove     make remove STAGE={aws.stage} REGION={aws.region}
""")
