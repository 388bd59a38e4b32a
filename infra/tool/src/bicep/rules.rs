//! What the types leave open and the platform, or this house, does not: names that are fixed, values from closed lists
//! that the models call text, settings that would open a door.

/// Built-in roles that may be assigned.
pub const ROLES: [(&str, &str); 13] = [
    ("b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "Storage Blob Data Owner"),
    ("ba92f5b4-2d11-453d-a403-e96b0029c9fe", "Storage Blob Data Contributor"),
    ("db58b8e5-c6ad-4a2a-8342-4190687cbf4a", "Storage Blob Delegator"),
    ("19e7f393-937e-4f77-808e-94535e297925", "Storage Queue Data Reader"),
    ("8a0f0c08-91a1-4084-bc3d-661d67233fed", "Storage Queue Data Message Processor"),
    ("c6a89b2d-59bc-44d0-9896-0f6e12d7b80a", "Storage Queue Data Message Sender"),
    ("0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3", "Storage Table Data Contributor"),
    ("3913510d-42f4-4e42-8a64-420c390055eb", "Monitoring Metrics Publisher"),
    ("4633458b-17de-408a-b874-0445c86b69e6", "Key Vault Secrets User"),
    ("b86a8fe4-44ce-4948-aee5-eccb2c155cd7", "Key Vault Secrets Officer"),
    ("acdd72a7-3385-48ef-bd42-f606fba81ae7", "Reader"),
    ("b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor"),
    ("f58310d9-a9f6-439a-9e8d-f62e7b41a168", "Role Based Access Control Administrator"),
];

/// Compute sizes of Postgres that a preset may name: tier and connections left to users.
pub const POSTGRES_SKUS: [(&str, &str, u32); 11] = [
    ("Standard_B1ms", "Burstable", 35),
    ("Standard_B2s", "Burstable", 414),
    ("Standard_B2ms", "Burstable", 844),
    ("Standard_D2s_v3", "GeneralPurpose", 844),
    ("Standard_D2ds_v4", "GeneralPurpose", 844),
    ("Standard_D2ds_v5", "GeneralPurpose", 844),
    ("Standard_D2ads_v5", "GeneralPurpose", 844),
    ("Standard_D4ds_v4", "GeneralPurpose", 1703),
    ("Standard_D4ds_v5", "GeneralPurpose", 1703),
    ("Standard_D4ads_v5", "GeneralPurpose", 1703),
    ("Standard_E2ds_v5", "MemoryOptimized", 1703),
];

/// A rule for a text that the table calls any text.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// Only these.
    OneOf(&'static [&'static str]),
    /// An IPv4 address.
    Address,
    /// A length of time such as `PT15M`.
    Duration,
    /// A severity, 0 to 4.
    Severity,
    /// Never this value of a flag.
    Never(bool),
}

/// The rule for a key of a model, if there is one.
pub fn rule(model: &str, key: &str) -> Option<Rule> {
    Some(match (model, key) {
        ("postgres.FirewallRuleProperties", "startIpAddress" | "endIpAddress") => Rule::Address,
        ("postgres.ServerProperties", "version") => Rule::OneOf(&["15", "16", "17", "18"]),
        ("postgres.ConfigurationProperties", "source") => Rule::OneOf(&["user-override"]),
        ("postgres.DatabaseProperties", "charset") => Rule::OneOf(&["UTF8"]),
        ("postgres.DatabaseProperties", "collation") => Rule::OneOf(&["en_US.utf8", "C.utf8", "C"]),
        (
            "storage.StorageAccountPropertiesCreateParameters",
            "allowSharedKeyAccess" | "allowBlobPublicAccess",
        ) => Rule::Never(true),
        (
            "storage.StorageAccountPropertiesCreateParameters",
            "supportsHttpsTrafficOnly" | "defaultToOAuthAuthentication",
        ) => Rule::Never(false),
        ("web.SiteProperties", "httpsOnly") => Rule::Never(false),
        ("web.CsmPublishingCredentialsPoliciesEntityProperties", "allow") => Rule::Never(true),
        (
            "vault.VaultProperties",
            "enableRbacAuthorization" | "enablePurgeProtection" | "enableSoftDelete",
        ) => Rule::Never(false),
        ("insights.ApplicationInsightsComponent.properties", "DisableLocalAuth") => Rule::Never(false),
        ("vault.VaultProperties", "publicNetworkAccess") => Rule::OneOf(&["Enabled", "Disabled"]),
        ("storage.ManagementPolicyFilter", "blobTypes") => Rule::OneOf(&["blockBlob", "appendBlob"]),
        ("web.SkuDescription", "name") => Rule::OneOf(&["FC1", "EP1", "EP2", "EP3"]),
        ("web.SkuDescription", "tier") => Rule::OneOf(&["FlexConsumption", "ElasticPremium"]),
        ("web.Site", "kind") => Rule::OneOf(&["functionapp,linux"]),
        ("web.AppServicePlan", "kind") => Rule::OneOf(&["functionapp"]),
        ("web.FunctionsRuntime", "version") => Rule::OneOf(&["1.0"]),
        ("insights.ApplicationInsightsComponent", "kind") => Rule::OneOf(&["web"]),
        ("diagnostics.Log", "category") => Rule::OneOf(&["PostgreSQLLogs", "AuditEvent"]),
        ("diagnostics.Metric", "category") => Rule::OneOf(&["AllMetrics"]),
        ("network.ServiceDelegationPropertiesFormat", "serviceName") => {
            Rule::OneOf(&["Microsoft.App/environments"])
        }
        ("network.PrivateLinkServiceConnectionProperties", "groupIds") => {
            Rule::OneOf(&["postgresqlServer", "blob", "dfs", "queue", "table", "vault"])
        }
        (
            "monitor.MetricAlertResource.properties" | "monitor.ScheduledQueryRuleResource.properties",
            "evaluationFrequency" | "windowSize",
        ) => Rule::Duration,
        (
            "monitor.MetricAlertResource.properties" | "monitor.ScheduledQueryRuleResource.properties",
            "severity",
        ) => Rule::Severity,
        ("monitor.MetricCriteria", "metricName") => Rule::OneOf(&[
            "active_connections",
            "connections_failed",
            "cpu_credits_remaining",
            "cpu_percent",
            "is_db_alive",
            "memory_percent",
            "storage_percent",
        ]),
        ("monitor.MetricCriteria", "metricNamespace") => {
            Rule::OneOf(&["Microsoft.DBforPostgreSQL/flexibleServers"])
        }
        ("identity.FederatedIdentityCredential.properties", "issuer") => {
            Rule::OneOf(&["https://token.actions.githubusercontent.com"])
        }
        ("identity.FederatedIdentityCredential.properties", "audiences") => {
            Rule::OneOf(&["api://AzureADTokenExchange"])
        }
        ("roles.RoleDefinition.properties", "type") => Rule::OneOf(&["CustomRole"]),
        ("roles.RoleAssignmentCreateParameters.properties", "conditionVersion") => Rule::OneOf(&["2.0"]),
        _ => return None,
    })
}

/// The only names that a resource of a type may have, where the platform fixes them.
pub fn names(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "Microsoft.Storage/storageAccounts/blobServices"
        | "Microsoft.Storage/storageAccounts/queueServices"
        | "Microsoft.Storage/storageAccounts/managementPolicies" => &["default"],
        "Microsoft.Web/sites/basicPublishingCredentialsPolicies" => &["ftp", "scm"],
        "Microsoft.Network/privateDnsZones" => &[
            "privatelink.blob.",
            "privatelink.dfs.",
            "privatelink.queue.",
            "privatelink.table.",
            "privatelink.postgres.database.azure.com",
            "privatelink.vaultcore.azure.net",
        ],
        "Microsoft.DBforPostgreSQL/flexibleServers/configurations" => &[
            // Those that can be set; `log_connections`, `log_parameter_max_length` and others are the platform's.
            "azure.extensions",
            "log_checkpoints",
            "log_error_verbosity",
            "log_lock_waits",
            "log_temp_files",
            "pgbouncer.enabled",
            "ssl_min_protocol_version",
        ],
        _ => return None,
    })
}

/// Resource types that live in no region.
pub fn without_region(kind: &str) -> bool {
    kind.starts_with("Microsoft.Network/privateDnsZones")
        || ["Microsoft.Insights/actionGroups", "Microsoft.Insights/metricAlerts"].contains(&kind)
}

/// Decorators of the language.
pub const DECORATORS: [&str; 9] = [
    "description",
    "secure",
    "allowed",
    "minLength",
    "maxLength",
    "minValue",
    "maxValue",
    "batchSize",
    "metadata",
];

#[rustfmt::skip]
/// Functions of the language and what they give: text, int, bool, list, map or any.
pub const FUNCTIONS: [(&str, char); 66] = [
    ("array", 'l'), ("base64", 't'), ("bool", 'b'), ("cidrHost", 't'), ("cidrSubnet", 't'), ("concat", '?'),
    ("contains", 'b'), ("createArray", 'l'), ("createObject", 'm'), ("dateTimeAdd", 't'), ("deployment", 'm'),
    ("empty", 'b'), ("endsWith", 'b'), ("environment", 'm'), ("extensionResourceId", 't'), ("fail", '?'),
    ("first", '?'), ("flatten", 'l'), ("format", 't'), ("getSecret", 't'), ("guid", 't'), ("indexOf", 'i'),
    ("int", 'i'), ("intersection", '?'), ("items", 'l'), ("join", 't'), ("json", '?'), ("last", '?'),
    ("lastIndexOf", 'i'), ("length", 'i'), ("listAccountSas", 'm'), ("listKeys", 'm'), ("loadJsonContent", '?'),
    ("loadTextContent", 't'), ("managementGroup", 'm'), ("max", 'i'), ("min", 'i'), ("newGuid", 't'),
    ("objectKeys", 'l'), ("padLeft", 't'), ("parseCidr", 'm'), ("pickZones", 'l'), ("range", 'l'),
    ("readEnvironmentVariable", 't'), ("reference", '?'), ("replace", 't'), ("resourceGroup", 'm'),
    ("resourceId", 't'), ("shallowMerge", 'm'), ("skip", '?'), ("split", 'l'), ("startsWith", 'b'), ("string", 't'),
    ("subscription", 'm'), ("subscriptionResourceId", 't'), ("substring", 't'), ("take", '?'), ("tenant", 'm'),
    ("tenantResourceId", 't'), ("toLower", 't'), ("toObject", 'm'), ("toUpper", 't'), ("trim", 't'), ("union", '?'),
    ("uniqueString", 't'), ("utcNow", 't'),
];

/// Members of what the functions about the deployment give.
pub fn members(function: &str) -> Option<&'static [&'static str]> {
    Some(match function {
        "resourceGroup" => &["id", "location", "managedBy", "name", "properties", "tags", "type"],
        "subscription" => &[
            "authorizationSource",
            "displayName",
            "id",
            "managedByTenants",
            "subscriptionId",
            "tags",
            "tenantId",
        ],
        "tenant" => &["country", "countryCode", "displayName", "tenantId"],
        "environment" => {
            &["authentication", "gallery", "graph", "name", "portal", "resourceManager", "suffixes"]
        }
        "environment.suffixes" => &["acrLoginServer", "keyvaultDns", "sqlServerHostname", "storage"],
        "environment.authentication" => &["audiences", "identityProvider", "loginEndpoint", "tenant"],
        "deployment" => &["location", "name", "properties"],
        _ => return None,
    })
}
