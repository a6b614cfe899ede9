"""The Helm chart and the manifests: valid by the schemas of Kubernetes, refused where they
would lose requests, and with a configuration that the program takes."""
import json
import os
import pathlib
import re
import subprocess

import jsonschema
import pytest
import yaml

from kit import chart as kit_chart
from kit.admin import Admin
from kit.chart import CHART, Chart, Refused
from kit.gateway import BINARY, ROOT
from kit.npm import modules

HERE = pathlib.Path(__file__).resolve().parent
KUBERNETES = ROOT / "deploy/kubernetes"
TOKEN = {"SWITCHGEAR_ADMIN_TOKEN": "0123456789abcdef0123456789abcdef"}


def config(extra="", queue=False, drain="{delay: 5s, timeout: 20s}"):
    tier = "      - queue: {max: 100}\n" if queue else "      - static: {status: 503}\n"
    return ("listen: [{address: '0.0.0.0:8080'}]\n"
            'admin: {address: "0.0.0.0:9797", token: "${SWITCHGEAR_ADMIN_TOKEN}"}\n'
            f"drain: {drain}\n{extra}"
            "services:\n  app:\n    endpoints: [http://app:80]\n    fallback:\n" + tier +
            "routes: [{prefix: /, service: app}]\n")


SQLITE = "store: sqlite:/var/lib/switchgear/switchgear.db\n"
POSTGRES = 'store: "postgresql://switchgear:${SWITCHGEAR_STORE_PASSWORD:-}@db/switchgear"\n'
PEERS = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
VARIANTS = {
    "as it is": {},
    "grows": {"autoscaling": {"enabled": True}, "reload": "restart"},
    "queue on a volume": {"config": config(SQLITE, queue=True), "replicas": 1,
                          "persistence": {"enabled": True, "storageClass": "fast"}},
    "queue on a claim": {"config": config(SQLITE, queue=True), "replicas": 1,
                         "persistence": {"enabled": True, "existingClaim": "mine"}},
    "queue in PostgreSQL": {
        "config": config(POSTGRES, queue=True), "envFrom": [{"secretRef": {"name": "store"}}],
        "env": [{"name": "A", "value": "b"}]},
    "cache on disk": {"config": config("cache_disk: {path: /var/cache/switchgear/answers}\n")},
    "watched": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
                "networkPolicy": {"admin": PEERS, "clients": PEERS,
                                  "egress": [{"to": PEERS, "ports": [{"port": 80}]}]}},
    "operated": {"rbac": {"operators": [
        {"kind": "Group", "name": "on-call"}, {"kind": "ServiceAccount", "name": "robot"}]}},
    "in company": {
        "admin": {"existingSecret": "mine"}, "imagePullSecrets": [{"name": "pull"}],
        "nameOverride": "edge", "preStopSeconds": 0, "podAnnotations": {"a": "b"},
        "podLabels": {"team": "shop"}, "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "edge", "operator": "Exists"}], "priorityClassName": "high",
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}},
        "service": {"type": "LoadBalancer", "port": 443, "annotations": {"a": "b"}},
        "serviceAccount": {"create": False, "name": "theirs"},
        "podDisruptionBudget": {"enabled": False}, "networkPolicy": {"enabled": False}},
}


@pytest.fixture(scope="module")
def chart():
    if reason := kit_chart.missing():
        pytest.skip(reason)
    return Chart()


@pytest.fixture(scope="module")
def judge():
    path = modules(HERE, "node-deploy")

    def judge(objects):
        done = subprocess.run(["node", str(HERE / "schemas.js")], input=json.dumps(objects),
                              env={**os.environ, "NODE_PATH": str(path)}, capture_output=True,
                              text=True)
        assert done.returncode == 0, done.stderr
        return [f"{o['kind']} {o['metadata']['name']}: {said}"
                for o, errors in zip(objects, json.loads(done.stdout)) for said in errors]

    return judge


def of_kind(objects, kind):
    return [o for o in objects if o["kind"] == kind]


def one(objects, kind, name=None):
    [found] = [o for o in of_kind(objects, kind) if name in (None, o["metadata"]["name"])]
    return found


def files():
    return [o for name in ("gateway.yaml", "sidecar.yaml")
            for o in yaml.safe_load_all((KUBERNETES / name).read_text())]


def pod_of(objects):
    return one(objects, "Deployment")["spec"]["template"]["spec"]


# ---- schemas -----------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_the_chart_makes_is_valid(chart, judge, variant):
    objects = chart.objects(VARIANTS[variant])
    assert len(objects) >= 4 and not judge(objects)
    names = [(o["kind"], o["metadata"]["name"]) for o in objects]
    assert len(names) == len(set(names))


def test_the_manifests_are_valid(judge):
    assert not judge(files())


def test_the_schemas_see_mistakes(judge):
    """Else the tests above would say nothing."""
    [deployment] = [o for o in files() if o["metadata"]["name"] == "shop"]
    for change, said in [
            (lambda d: d["spec"].update(replicas="two"), "replicas must be integer"),
            (lambda d: d["spec"].pop("selector"), "required property selector"),
            (lambda d: d["metadata"].update(lables={}), "/metadata/lables: there is no such"),
            (lambda d: d["spec"]["template"]["spec"]["containers"][0].update(readyness={}),
             "/containers/0/readyness: there is no such")]:
        wrong = json.loads(json.dumps(deployment))
        change(wrong)
        assert any(said in line for line in judge([wrong])), said


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_values_are_as_their_schema_says(variant):
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(Chart().merged(VARIANTS[variant]), schema)


@pytest.mark.parametrize("wrong", [{"replica": 3}, {"reload": "sometimes"}, {"replicas": "2"},
                                   {"persistence": {"accessMode": "ReadWriteMany"}},
                                   {"config": {"listen": []}}])
def test_values_that_the_schema_refuses(wrong):
    schema = json.loads((CHART / "values.schema.json").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(Chart().merged(wrong), schema)


def test_every_value_is_documented_and_in_the_schema():
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    readme = (CHART / "README.md").read_text()
    for name in Chart().values:
        assert name in schema
        assert f"`{name}" in readme, name


def test_the_manifests_are_what_the_chart_makes(chart):
    done = subprocess.run([ROOT / "scripts/manifests", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---- what the chart refuses --------------------------------------------------------------


@pytest.mark.parametrize("values,said", [
    ({"config": config(SQLITE, queue=True), "replicas": 1}, "persistence.enabled=true"),
    ({"config": config(queue=True), "replicas": 1}, "persistence.enabled=true"),
    ({"config": config('store: "${STORE}"\n', queue=True), "replicas": 1}, "persistence.enabled=true"),
    ({"config": config("defaults: {fallback: [{queue: {}}]}\n"), "replicas": 1}, "persistence.enabled"),
    ({"config": config(SQLITE, queue=True), "persistence": {"enabled": True}}, "set replicas=1"),
    ({"config": config(SQLITE, queue=True), "persistence": {"enabled": True}, "replicas": 1,
      "autoscaling": {"enabled": True}}, "no autoscaling"),
    ({"config": config("store: sqlite:/tmp/x.db\n", queue=True), "replicas": 1,
      "persistence": {"enabled": True}}, "store: sqlite:/var/lib/switchgear/switchgear.db"),
    ({"persistence": {"enabled": True}}, "set replicas=1"),
    ({"config": config("cache_disk: {path: /srv/cache}\n")}, "below /var/cache/switchgear"),
    ({"config": config(drain="{delay: 5s, timeout: 30s}")}, "37 s together"),
    ({"config": config().replace("drain: {delay: 5s, timeout: 20s}\n", "")}, "37 s together"),
    ({"terminationGracePeriodSeconds": 27}, "must be more"),
    ({"config": config().replace("0.0.0.0:9797", "127.0.0.1:9797")}, "must be 0.0.0.0:9797"),
    ({"config": re.sub("admin: .*\n", "", config())}, "probes ask there"),
    ({"config": re.sub("admin: .*\n", "admin: off\n", config())}, "probes ask there"),
    ({"config": config().replace("0.0.0.0:8080", "127.0.0.1:8080")}, "listen on 0.0.0.0:8080"),
    ({"ports": {"http": 80}}, "listen on 0.0.0.0:80"),
    ({"config": "services: ["}, "config is not YAML"),
    ({"autoscaling": {"enabled": True, "min": 11}}, "autoscaling.min"),
])
def test_refused(chart, values, said):
    with pytest.raises(Refused) as refused:
        chart.render(values)
    assert said in str(refused.value)


# ---- what it makes -------------------------------------------------------------------------


def test_a_queue_on_sqlite_has_one_pod_and_a_volume_that_stays(chart):
    objects = chart.objects(VARIANTS["queue on a volume"])
    spec = one(objects, "Deployment")["spec"]
    assert spec["replicas"] == 1 and spec["strategy"] == {"type": "Recreate"}
    claim = one(objects, "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    volumes = {v["name"]: v for v in spec["template"]["spec"]["volumes"]}
    assert volumes["state"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    mounts = {m["name"]: m for m in spec["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert mounts["state"]["mountPath"] == "/var/lib/switchgear"


def test_the_admin_api_is_not_in_the_service_for_clients(chart):
    objects = chart.objects({"service": {"type": "LoadBalancer"}})
    assert [p["name"] for p in one(objects, "Service", "web-switchgear")["spec"]["ports"]] == ["http"]
    assert one(objects, "Service", "web-switchgear-admin")["spec"]["clusterIP"] == "None"
    [rule] = one(objects, "NetworkPolicy")["spec"]["ingress"]
    assert [p["port"] for p in rule["ports"]] == ["http"]


def test_the_monitor_finds_the_service_and_its_port(chart):
    objects = chart.objects(VARIANTS["watched"])
    monitor = one(objects, "ServiceMonitor")["spec"]
    wanted = monitor["selector"]["matchLabels"]
    [service] = [s for s in of_kind(objects, "Service")
                 if wanted.items() <= s["metadata"]["labels"].items()]
    assert monitor["endpoints"][0]["port"] in [p["name"] for p in service["spec"]["ports"]]


@pytest.mark.parametrize("variant", VARIANTS)
def test_selectors_select_the_pods(chart, variant):
    objects = chart.objects(VARIANTS[variant])
    deployment = one(objects, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    selectors = [deployment["spec"]["selector"]["matchLabels"]]
    selectors += [s["spec"]["selector"] for s in of_kind(objects, "Service")]
    selectors += [o["spec"]["selector"]["matchLabels"] for o in of_kind(objects, "PodDisruptionBudget")]
    selectors += [o["spec"]["podSelector"]["matchLabels"] for o in of_kind(objects, "NetworkPolicy")]
    assert all(selector.items() <= labels for selector in selectors)
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
        assert "replicas" not in deployment["spec"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_container_may_do_anything(chart, variant):
    pod = pod_of(chart.objects(VARIANTS[variant]))
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"] + pod.get("initContainers", []):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]


def test_a_changed_configuration_makes_new_pods_only_where_that_is_asked_for(chart):
    def annotations(reload, text):
        objects = chart.objects({"reload": reload, "config": text})
        return one(objects, "Deployment")["spec"]["template"]["metadata"]["annotations"]

    other = config().replace("app:80", "app:81")
    assert annotations("live", config()) == annotations("live", other)
    assert annotations("restart", config()) != annotations("restart", other)
    names = [[c["name"] for c in pod_of(chart.objects({"reload": how}))["containers"]]
             for how in ("live", "restart")]
    assert names == [["switchgear", "reload"], ["switchgear"]]


def test_operators_may_do_what_the_page_says_and_no_more(chart):
    rules = one(chart.objects(VARIANTS["operated"]), "Role")["rules"]
    assert not any("*" in rule["verbs"] + rule["resources"] for rule in rules)
    assert all("resourceNames" in rule for rule in rules
               if {"secrets", "configmaps"} & set(rule["resources"]))


# ---- the configuration in it --------------------------------------------------------------


def configurations():
    yield "gateway", one([o for o in files() if o["metadata"]["name"] == "switchgear"], "ConfigMap")
    yield "sidecar", one(files(), "ConfigMap", "shop-switchgear")


@pytest.mark.parametrize("name,map", configurations(), ids=lambda v: v if isinstance(v, str) else "")
def test_the_program_takes_the_configuration(tmp_path, name, map):
    path = tmp_path / "switchgear.yaml"
    path.write_text(map["data"]["switchgear.yaml"])
    done = subprocess.run([BINARY, "check", str(path)], env={**os.environ, **TOKEN},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_arrives_word_for_word(chart):
    text = "# a remark\n" + config() + "x-rest: |\n  {{ not a template }}\n"
    assert one(chart.objects({"config": text}), "ConfigMap")["data"]["switchgear.yaml"] == text


def test_the_probes_answer_without_the_token(gateway):
    text = one(files(), "ConfigMap", "switchgear")["data"]["switchgear.yaml"]
    wanted = yaml.safe_load(text)
    wanted["listen"][0]["address"] = "127.0.0.1:0"
    wanted["admin"]["address"] = "0.0.0.0:0"
    wanted["services"]["app"]["endpoints"] = ["http://127.0.0.1:9"]
    gw = gateway(config=wanted, env=TOKEN)
    [deployment] = [o for o in files() if o["metadata"]["name"] == "switchgear"
                    and o["kind"] == "Deployment"]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    with Admin(gw) as admin:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert admin.get(container[probe]["httpGet"]["path"]).status_code == 200
        assert admin.get("/metrics").status_code == 200
        assert admin.get("/api/v1/circuit-breakers").status_code == 401


@pytest.mark.parametrize("name", ["switchgear", "shop"])
def test_the_grace_period_is_longer_than_the_drain(name):
    [pod] = [o["spec"]["template"]["spec"] for o in of_kind(files(), "Deployment")
             if o["metadata"]["name"] == name]
    config_of = {"switchgear": "switchgear", "shop": "shop-switchgear"}[name]
    drain = yaml.safe_load(one(files(), "ConfigMap", config_of)["data"]["switchgear.yaml"])["drain"]
    took = sum(int(str(drain[key]).removesuffix("s")) for key in ("delay", "timeout"))
    for container in pod["containers"]:
        before = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command")
        took += int(before[1]) if before else 0
    assert took < pod["terminationGracePeriodSeconds"] == 30
