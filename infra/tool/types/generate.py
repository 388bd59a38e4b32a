"""Writes azure.json, the table of Azure resource types that `cargo infra check` holds the Bicep files against.

Source: the models of the azure-mgmt-* wheels (MIT licence), read as text; nothing of them is imported. Types that no
wheel describes come from written_by_hand.json. Run it in an empty folder of wheels and compare the result in review:

    python -m pip download --no-deps --only-binary :all: -d wheels $(python generate.py --wheels)
    python generate.py wheels > azure.json
"""

import ast
import json
import pathlib
import re
import sys
import zipfile

# wheel, version, models in it
WHEELS = {
    "postgres": ("azure-mgmt-postgresqlflexibleservers", "3.0.0", "azure/mgmt/postgresqlflexibleservers/models"),
    "web": ("azure-mgmt-web", "11.0.1", "azure/mgmt/web/models"),
    "storage": ("azure-mgmt-storage", "25.3.0", "azure/mgmt/storage/models"),
    "vault": ("azure-mgmt-keyvault", "14.1.0", "azure/mgmt/keyvault/models"),
    "logs": ("azure-mgmt-loganalytics", "14.0.0", "azure/mgmt/loganalytics/models"),
    "identity": ("azure-mgmt-msi", "7.1.0", "azure/mgmt/msi/v2024_11_30/models"),
    "roles": ("azure-mgmt-authorization", "4.0.0", "azure/mgmt/authorization/v2022_04_01/models"),
    "insights": ("azure-mgmt-applicationinsights", "4.1.0", "azure/mgmt/applicationinsights/v2020_02_02/models"),
    "monitor": ("azure-mgmt-monitor", "7.0.0", "azure/mgmt/monitor/models"),
    "network": ("azure-mgmt-network", "33.1.0", "azure/mgmt/network/models"),
    "dns": ("azure-mgmt-privatedns", "2.0.0", "azure/mgmt/privatedns/models"),
    "groups": ("azure-mgmt-resource", "26.0.0", "azure/mgmt/resource/resources/models"),
    "budgets": ("azure-mgmt-consumption", "11.0.0", "azure/mgmt/consumption/models"),
}

# resource type -> (model, versions that may be pinned; the last one is offered when another is named)
RESOURCES = {
    "Microsoft.Resources/resourceGroups": ("groups.ResourceGroup", ["2025-04-01"]),
    "Microsoft.DBforPostgreSQL/flexibleServers": ("postgres.Server", ["2024-08-01", "2025-08-01"]),
    "Microsoft.DBforPostgreSQL/flexibleServers/databases": ("postgres.Database", ["2024-08-01", "2025-08-01"]),
    "Microsoft.DBforPostgreSQL/flexibleServers/firewallRules": ("postgres.FirewallRule", ["2024-08-01", "2025-08-01"]),
    "Microsoft.DBforPostgreSQL/flexibleServers/configurations": (
        "postgres.ConfigurationForUpdate",
        ["2024-08-01", "2025-08-01"],
    ),
    "Microsoft.DBforPostgreSQL/flexibleServers/administrators": (
        "postgres.AdministratorMicrosoftEntraAdd",
        ["2024-08-01", "2025-08-01"],
    ),
    "Microsoft.Web/serverfarms": ("web.AppServicePlan", ["2024-11-01", "2025-03-01"]),
    "Microsoft.Web/sites": ("web.Site", ["2024-11-01", "2025-03-01"]),
    "Microsoft.Web/sites/config@appsettings": ("web.StringDictionary", ["2024-11-01", "2025-03-01"]),
    "Microsoft.Web/sites/config@authsettingsV2": ("web.SiteAuthSettingsV2", ["2024-11-01", "2025-03-01"]),
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": (
        "web.CsmPublishingCredentialsPoliciesEntity",
        ["2024-11-01", "2025-03-01"],
    ),
    "Microsoft.Storage/storageAccounts": ("storage.StorageAccountCreateParameters", ["2025-06-01"]),
    "Microsoft.Storage/storageAccounts/blobServices": ("storage.BlobServiceProperties", ["2025-06-01"]),
    "Microsoft.Storage/storageAccounts/blobServices/containers": ("storage.BlobContainer", ["2025-06-01"]),
    "Microsoft.Storage/storageAccounts/queueServices": ("storage.QueueServiceProperties", ["2025-06-01"]),
    "Microsoft.Storage/storageAccounts/queueServices/queues": ("storage.StorageQueue", ["2025-06-01"]),
    "Microsoft.Storage/storageAccounts/managementPolicies": ("storage.ManagementPolicy", ["2025-06-01"]),
    "Microsoft.KeyVault/vaults": ("vault.VaultCreateOrUpdateParameters", ["2025-05-01"]),
    "Microsoft.OperationalInsights/workspaces": ("logs.Workspace", ["2025-07-01"]),
    "Microsoft.ManagedIdentity/userAssignedIdentities": ("identity.Identity", ["2024-11-30"]),
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials": (
        "identity.FederatedIdentityCredential",
        ["2024-11-30"],
    ),
    "Microsoft.Authorization/roleAssignments": ("roles.RoleAssignmentCreateParameters", ["2022-04-01"]),
    "Microsoft.Authorization/roleDefinitions": ("roles.RoleDefinition", ["2022-04-01"]),
    "Microsoft.Insights/components": ("insights.ApplicationInsightsComponent", ["2020-02-02"]),
    "Microsoft.Insights/metricAlerts": ("monitor.MetricAlertResource", ["2018-03-01"]),
    "Microsoft.Insights/scheduledQueryRules": ("monitor.ScheduledQueryRuleResource", ["2023-12-01"]),
    "Microsoft.Insights/actionGroups": ("monitor.ActionGroupResource", ["2023-01-01"]),
    "Microsoft.Network/networkSecurityGroups": ("network.NetworkSecurityGroup", ["2025-05-01"]),
    "Microsoft.Network/virtualNetworks": ("network.VirtualNetwork", ["2025-05-01"]),
    "Microsoft.Network/privateEndpoints": ("network.PrivateEndpoint", ["2025-05-01"]),
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": ("network.PrivateDnsZoneGroup", ["2025-05-01"]),
    "Microsoft.Network/privateDnsZones": ("dns.PrivateZone", ["2024-06-01"]),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": ("dns.VirtualNetworkLink", ["2024-06-01"]),
    "Microsoft.Consumption/budgets": ("budgets.Budget", ["2024-08-01"]),
}

# What can be read back from a resource that is written through a smaller model.
READ_AS = {
    "storage.StorageAccountCreateParameters": "storage.StorageAccount",
    "vault.VaultCreateOrUpdateParameters": "vault.Vault",
}

# These lead through the whole of their service; references to them are written by id.
PRUNED = {
    "network.NetworkInterface", "network.RouteTable", "network.NatGateway", "network.ApplicationSecurityGroup",
    "network.ServiceEndpointPolicy", "network.IpAllocation", "network.VirtualNetworkPeering", "network.FlowLog",
    "network.IPConfiguration", "network.IPConfigurationProfile", "network.ResourceNavigationLink",
    "network.ServiceAssociationLink", "network.ApplicationGatewayIPConfiguration", "network.DdosCustomPolicy",
    "web.HostingEnvironmentProfile", "web.CloningInfo", "web.HostNameSslState", "web.PushSettings",
    "postgres.PrivateEndpointConnection", "storage.PrivateEndpointConnection", "vault.PrivateEndpointConnectionItem",
    "monitor.ErrorDetail",
}  # fmt: skip

SCALARS = {
    "str": "string", "int": "int", "float": "number", "bool": "bool", "object": "any", "Any": "any", "long": "int",
    "iso-8601": "string", "duration": "string", "date": "string", "bytes": "string",
    "datetime.datetime": "string", "datetime.timedelta": "string", "datetime.date": "string",
}  # fmt: skip


class Service:
    """The models and enums of one wheel."""

    def __init__(self, key, sources):
        self.key, self.classes, self.enums = key, {}, {}
        for source in sources:
            for node in ast.parse(source).body:
                if not isinstance(node, ast.ClassDef):
                    continue
                if any("Enum" in ast.unparse(base) for base in node.bases):
                    self.enums[node.name] = [
                        item.value.value
                        for item in node.body
                        if isinstance(item, ast.Assign) and isinstance(item.value, ast.Constant)
                    ]
                else:
                    self.classes[node.name] = node

    def type_name(self, annotation):
        """A Python annotation as (type, required)."""
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            return self.type_name(ast.parse(annotation.value, mode="eval").body)
        if isinstance(annotation, ast.Subscript):
            outer, inner = ast.unparse(annotation.value), annotation.slice
            if outer == "Optional":
                return self.type_name(inner)[0], False
            if outer.lower() == "list":
                return self.type_name(inner)[0] + "[]", True
            if outer.lower() == "dict":
                return "{" + self.type_name(inner.elts[1])[0] + "}", True
            if outer == "Union":
                return self.type_name(inner.elts[1])[0], True
            if outer == "Literal":
                return self.type_name(inner)[0] if not isinstance(inner, ast.Constant) else f"={inner.value}", True
        text = ast.unparse(annotation)
        if text in SCALARS:
            return SCALARS[text], True
        name = text.rsplit(".", 1)[-1]
        if name in self.enums:
            return "=" + "|".join(self.enums[name]), True
        return (f"{self.key}.{name}" if name in self.classes else "any"), True

    def old_type(self, text, known):
        if text.startswith("["):
            return self.old_type(text[1:-1], known) + "[]"
        if text.startswith("{"):
            return "{" + self.old_type(text[1:-1], known) + "}"
        if text == "str" and known:
            return "=" + "|".join(known)
        return SCALARS.get(text) or (f"{self.key}.{text}" if text in self.classes else "any")

    def model(self, name):
        """Properties of a model: wire path -> flags and type, and its variants."""
        node, found, variants = self.classes[name], {}, None
        for base in node.bases:
            base = ast.unparse(base).rsplit(".", 1)[-1]
            if base in self.classes:
                inherited, outer = self.model(base)
                found.update(inherited)
                # A variant does not have variants of its own.
        attributes, validation = {}, {}
        documentation = ast.get_docstring(node) or ""
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and isinstance(item.value, ast.Call):
                options = {word.arg: word.value for word in item.value.keywords}
                wire = ast.literal_eval(options["name"]) if "name" in options else item.target.id
                kind, required = self.type_name(item.annotation)
                modes = ast.literal_eval(options["visibility"]) if "visibility" in options else []
                read_only = modes == ["read"]
                found[wire] = ("-" if read_only else "*" if required else "") + kind
            elif isinstance(item, ast.AnnAssign) and ast.unparse(item.target) == "__mapping__":
                variants = True
            elif isinstance(item, ast.Assign):
                target = ast.unparse(item.targets[0])
                if target == "_attribute_map":
                    attributes = ast.literal_eval(item.value)
                elif target == "_validation":
                    validation = ast.literal_eval(item.value)
                elif target == "_subtype_map":
                    ((tag, kinds),) = ast.literal_eval(item.value).items()
                    variants = (tag, kinds)
        for attribute, shape in attributes.items():
            rules = validation.get(attribute, {})
            about = re.search(rf":ivar {attribute}:(.*?)(?=:vartype)", documentation, re.S)
            listed = re.search(r"(?:Known|Possible) values (?:are|include):(.*)", about[1] if about else "", re.S)
            known = re.findall(r'"([^"]+)"', listed[1]) if listed else []
            flag = "-" if rules.get("readonly") else "*" if rules.get("required") else ""
            if shape["key"]:  # the nameless one collects what the service adds one day
                found[shape["key"]] = flag + self.old_type(shape["type"], known)
        if isinstance(variants, tuple):
            tag, kinds = variants
            wire = attributes[tag]["key"].replace("\\\\.", "\\.")
            return found, (wire.replace("\\.", "."), {value: f"{self.key}.{kind}" for value, kind in kinds.items()})
        if variants:
            tag = next(
                ast.literal_eval(w.value) if w.arg == "name" else item.target.id
                for item in node.body
                if isinstance(item, ast.AnnAssign) and "rest_discriminator" in ast.unparse(item.value or ast.Constant(0))
                for w in item.value.keywords
            )
            kinds = {}
            for other in self.classes.values():
                if any(ast.unparse(base).rsplit(".", 1)[-1] == name for base in other.bases):
                    for word in other.keywords:
                        if word.arg == "discriminator":
                            kinds[ast.literal_eval(word.value)] = f"{self.key}.{other.name}"
            return found, ((tag, kinds) if kinds else None)
        return found, None


def nested(properties):
    """Flattened wire paths (`properties.x`) as a tree of names; a backslash keeps a dot."""
    tree = {}
    for path, kind in properties.items():
        steps = [step.replace("\0", ".") for step in path.replace("\\\\.", "\0").replace("\\.", "\0").split(".")]
        at = tree
        for step in steps[:-1]:
            at = at.setdefault(step, {})
        at[steps[-1]] = kind
    return tree


def main():
    if sys.argv[1:] == ["--wheels"]:
        print(" ".join(f"{name}=={version}" for name, version, _ in WHEELS.values()))
        return
    folder = pathlib.Path(sys.argv[1])
    services = {}
    for key, (wheel, version, models) in WHEELS.items():
        with zipfile.ZipFile(folder / f"{wheel.replace('-', '_')}-{version}-py3-none-any.whl") as archive:
            names = [n for n in archive.namelist() if n.startswith(models + "/") and "_patch" not in n]
            services[key] = Service(key, [archive.read(name).decode() for name in sorted(names)])
    types, waiting = {}, [model for model, _ in RESOURCES.values()] + list(READ_AS.values())
    while waiting:
        name = waiting.pop()
        if name in types or name in PRUNED:
            continue
        key, model = name.split(".", 1)
        properties, variants = services[key].model(model)
        tree = nested(properties)
        if variants:
            tree = {"?": variants[0], "properties of all": tree, "variants": variants[1]}
            waiting += variants[1].values()
        elif isinstance(tree.get("properties"), dict) and any("." in p for p in properties):
            inner = f"{name}.properties"
            own = tree["properties"]
            flag = "*" if any(isinstance(k, str) and k.startswith("*") for k in own.values()) else ""
            types[inner] = own
            tree["properties"] = flag + inner
        types[name] = tree
        for kind in re.findall(r'"[-*]?\{?([a-z]+\.[A-Za-z0-9_]+)[\[\]}]*"', json.dumps(tree | types.get(f"{name}.properties", {}))):
            if kind.split(".")[0] in services:
                waiting.append(kind)
    for name in PRUNED:
        types.setdefault(name, "any")
    by_hand = json.loads((pathlib.Path(__file__).parent / "written_by_hand.json").read_text())
    types |= by_hand["types"]
    table = {
        "about": "Written by generate.py; do not edit.",
        "licence": "Derived from the models of the wheels below: MIT, (c) Microsoft Corporation.",
        "wheels": {wheel: version for wheel, version, _ in WHEELS.values()},
        "resources": {
            **{name: {"model": model, "versions": versions} for name, (model, versions) in RESOURCES.items()},
            **by_hand["resources"],
        },
        "read_as": READ_AS,
    }
    text = json.dumps(table, indent=1)[:-2]
    lines = [f'  {json.dumps(name)}: {json.dumps(types[name])}' for name in sorted(types)]
    print(text + ',\n "types": {\n' + ",\n".join(lines) + "\n }\n}")


main()
