param location string

resource account 'Microsoft.Storage/storageAcounts@2025-06-01' = {
  name: 'stdata'
  location: location
}

resource host 'Microsoft.Storage/storageAccounts@2019-06-01' = {
  name: 'sthost'
  location: location
  kind: 'StorageV3'
  sku: {
    name: 'Standard_LRS'
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  name: 'defualt'
}

resource queue 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-06-01' = {
  parent: host
  name: 'runs'
}

resource config 'Microsoft.Web/sites/config@2025-03-01' = {
  parent: host
  name: 'apsettings'
  properties: {}
}

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: 'privatelnk.blob.${environment().suffixes.storge}'
  location: location
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  location: location
  dependsOn: [
    location
  ]
}

resource ghost 'Microsoft.KeyVault/vaults@2025-05-01' existing = {
  name: 'kv'
  location: location
}

output ids array = [
  account.id
  queue.id
  config.id
  zone.id
  identity.id
  blobs.id
  ghost.id
]
