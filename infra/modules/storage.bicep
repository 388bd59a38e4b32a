// Two accounts, because the Functions host needs to own everything in its own and nothing in ours: one for the host
// (package, run queue, locks, keys), one with a hierarchical namespace for artifacts and the lake.

param hostAccountName string
param dataAccountName string
param artifactsContainer string
param packageContainer string
param runQueue string
param location string
param tags object
param skuName string
param lakeContainer string
param publicNetworkAccess string
param deleteLock bool

@description('Days a removed blob or container can be brought back.')
param softDeleteDays int = 7

@description('Days until artifacts move to the cool tier.')
param coolAfterDays int = 30

@description('Days until artifacts are removed.')
param deleteAfterDays int = 365

resource hostAccount 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: hostAccountName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: skuName
  }
  properties: {
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: publicNetworkAccess
    networkAcls: {
      bypass: 'None'
      defaultAction: publicNetworkAccess == 'Enabled' ? 'Allow' : 'Deny'
    }
  }
}

resource hostBlobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: hostAccount
  name: 'default'
  properties: {
    deleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
  }
}

// Nothing ages in here: an instance that starts reads the package, however old it is.
resource packages 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: hostBlobs
  name: packageContainer
  properties: {
    publicAccess: 'None'
  }
}

resource hostQueues 'Microsoft.Storage/storageAccounts/queueServices@2025-06-01' = {
  parent: hostAccount
  name: 'default'
}

// Both queues exist beforehand: the app may then do without the right to make queues.
resource runs 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-06-01' = {
  parent: hostQueues
  name: runQueue
}

resource poison 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-06-01' = {
  parent: hostQueues
  name: '${runQueue}-poison'
}

resource dataAccount 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: dataAccountName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: skuName
  }
  properties: {
    isHnsEnabled: true
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: publicNetworkAccess
    networkAcls: {
      bypass: 'None'
      defaultAction: publicNetworkAccess == 'Enabled' ? 'Allow' : 'Deny'
    }
  }
}

resource dataBlobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: dataAccount
  name: 'default'
  properties: {
    deleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
  }
}

resource artifacts 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: dataBlobs
  name: artifactsContainer
  properties: {
    publicAccess: 'None'
  }
}

resource lake 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: dataBlobs
  name: lakeContainer
  properties: {
    publicAccess: 'None'
  }
}

// Only below artifacts/results, and never the lake. In adls mode the run documents lie there too, and age with their results.
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-06-01' = {
  parent: dataAccount
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'age-artifacts'
          type: 'Lifecycle'
          enabled: true
          definition: {
            filters: {
              blobTypes: [
                'blockBlob'
              ]
              prefixMatch: [
                '${artifactsContainer}/results/'
              ]
            }
            actions: {
              baseBlob: {
                tierToCool: {
                  daysAfterModificationGreaterThan: coolAfterDays
                }
                delete: {
                  daysAfterModificationGreaterThan: deleteAfterDays
                }
              }
            }
          }
        }
      ]
    }
  }
  dependsOn: [
    dataBlobs
  ]
}

resource dataLock 'Microsoft.Authorization/locks@2020-05-01' = if (deleteLock) {
  scope: dataAccount
  name: 'keep'
  properties: {
    level: 'CanNotDelete'
    notes: 'Holds results and the lake.'
  }
}

output hostAccountId string = hostAccount.id
output dataAccountId string = dataAccount.id
