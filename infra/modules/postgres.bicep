// The database server. What hangs below it comes one after the other: the service refuses two changes at once. Each
// waits for all before it, because a loop without items makes nobody wait.

param name string
param location string
param tags object
param skuName string
param tier string
param storageSizeGB int
param version string
param databaseName string
param backupRetentionDays int
param geoRedundantBackup bool
param highAvailability string
param passwordAuth bool
param administratorLogin string

@secure()
param administratorPassword string

param administrators array
param publicNetworkAccess string
param firewallRules array
param allowAzureServices bool
param workspaceName string
param deleteLock bool

// Only where a password is given: without one an existing server keeps the login and password that it has.
var withPassword = passwordAuth && !empty(administratorPassword)

// The platform's way to say "every address inside Azure"; it is not an address.
var azureRule = {
  name: 'every-azure-customer'
  startIpAddress: '0.0.0.0'
  endIpAddress: '0.0.0.0'
}
var rules = allowAzureServices ? concat(firewallRules, [azureRule]) : firewallRules

// The platform logs connections by itself. Slow statements are not logged: the platform fixes that they would show
// the values they were given.
var settings = [
  {
    name: 'ssl_min_protocol_version'
    value: 'TLSv1.3'
  }
  {
    name: 'log_checkpoints'
    value: 'on'
  }
  {
    name: 'log_lock_waits'
    value: 'on'
  }
  {
    name: 'log_error_verbosity'
    value: 'terse'
  }
]

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  name: workspaceName
}

resource server 'Microsoft.DBforPostgreSQL/flexibleServers@2025-08-01' = {
  name: name
  location: location
  tags: tags
  sku: {
    name: skuName
    tier: tier
  }
  properties: {
    createMode: 'Default'
    version: version
    authConfig: {
      activeDirectoryAuth: 'Enabled'
      passwordAuth: passwordAuth ? 'Enabled' : 'Disabled'
      tenantId: tenant().tenantId
    }
    storage: {
      storageSizeGB: storageSizeGB
      autoGrow: 'Enabled'
    }
    backup: {
      backupRetentionDays: backupRetentionDays
      geoRedundantBackup: geoRedundantBackup ? 'Enabled' : 'Disabled'
    }
    highAvailability: {
      mode: highAvailability
    }
    network: {
      publicNetworkAccess: publicNetworkAccess
    }
    administratorLogin: withPassword ? administratorLogin : null
    administratorLoginPassword: withPassword ? administratorPassword : null
  }
}

resource database 'Microsoft.DBforPostgreSQL/flexibleServers/databases@2025-08-01' = {
  parent: server
  name: databaseName
  properties: {
    charset: 'UTF8'
    collation: 'en_US.utf8'
  }
}

@batchSize(1)
resource firewall 'Microsoft.DBforPostgreSQL/flexibleServers/firewallRules@2025-08-01' = [
  for rule in rules: {
    parent: server
    name: rule.name
    properties: {
      startIpAddress: rule.startIpAddress
      endIpAddress: rule.endIpAddress
    }
    dependsOn: [
      database
    ]
  }
]

@batchSize(1)
resource configuration 'Microsoft.DBforPostgreSQL/flexibleServers/configurations@2025-08-01' = [
  for setting in settings: {
    parent: server
    name: setting.name
    properties: {
      value: setting.value
      source: 'user-override'
    }
    dependsOn: [
      database
      firewall
    ]
  }
]

@batchSize(1)
resource administrator 'Microsoft.DBforPostgreSQL/flexibleServers/administrators@2025-08-01' = [
  for principal in administrators: {
    parent: server
    name: principal.objectId
    properties: {
      principalName: principal.name
      principalType: principal.type
      tenantId: tenant().tenantId
    }
    dependsOn: [
      database
      firewall
      configuration
    ]
  }
]

// The one stable version, 2016-09-01, allows a single setting of another shape for each resource.
#disable-next-line use-recent-api-versions
resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: server
  name: 'to-workspace'
  properties: {
    workspaceId: workspace.id
    logs: [
      {
        category: 'PostgreSQLLogs'
        enabled: true
      }
    ]
    metrics: [
      {
        category: 'AllMetrics'
        enabled: true
      }
    ]
  }
}

// On the database: that keeps the server too, and firewall rules can still be taken away. On the server it would be
// inherited by everything below.
resource lock 'Microsoft.Authorization/locks@2020-05-01' = if (deleteLock) {
  scope: database
  name: 'keep'
  properties: {
    level: 'CanNotDelete'
    notes: 'Holds run records and signals.'
  }
}

output serverId string = server.id
output host string = server.properties.fullyQualifiedDomainName
