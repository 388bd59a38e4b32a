// Only in password mode: the connection strings of the service and of its other logins. `cargo infra provision` and
// `rotate` write them, each with a tag that names the slot.

param name string
param location string
param tags object
param publicNetworkAccess string
param workspaceName string

var dsnName = 'postgres-dsn'

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  name: workspaceName
}

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    enablePurgeProtection: true
    softDeleteRetentionInDays: 90
    publicNetworkAccess: publicNetworkAccess
    networkAcls: {
      bypass: 'None'
      defaultAction: publicNetworkAccess == 'Enabled' ? 'Allow' : 'Deny'
    }
  }
}

// The one stable version, 2016-09-01, allows a single setting of another shape for each resource.
#disable-next-line use-recent-api-versions
resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: vault
  name: 'to-workspace'
  properties: {
    workspaceId: workspace.id
    logs: [
      {
        category: 'AuditEvent'
        enabled: true
      }
    ]
  }
}

output vaultId string = vault.id
// What an app setting says instead of the value.
output dsnReference string = '@Microsoft.KeyVault(SecretUri=${vault.properties.vaultUri}secrets/${dsnName})'
