// Private endpoints of everything that the app uses, each with the DNS zone that makes its name resolve to them.

param environmentName string
param location string
param tags object
param networkId string
param subnetId string
param postgresId string
param hostAccountId string
param dataAccountId string

@description('Empty without a key vault.')
param vaultId string

var blobZone = 'privatelink.blob.${environment().suffixes.storage}'
var dfsZone = 'privatelink.dfs.${environment().suffixes.storage}'
var queueZone = 'privatelink.queue.${environment().suffixes.storage}'
var tableZone = 'privatelink.table.${environment().suffixes.storage}'
var postgresZone = 'privatelink.postgres.database.azure.com'
var vaultZone = 'privatelink.vaultcore.azure.net'

var vaultEndpoint = {
  name: 'vault'
  target: vaultId
  group: 'vault'
  zone: vaultZone
}
var dataEndpoints = [
  {
    name: 'postgres'
    target: postgresId
    group: 'postgresqlServer'
    zone: postgresZone
  }
  {
    name: 'host-blob'
    target: hostAccountId
    group: 'blob'
    zone: blobZone
  }
  {
    name: 'host-queue'
    target: hostAccountId
    group: 'queue'
    zone: queueZone
  }
  {
    name: 'host-table'
    target: hostAccountId
    group: 'table'
    zone: tableZone
  }
  {
    name: 'data-blob'
    target: dataAccountId
    group: 'blob'
    zone: blobZone
  }
  {
    name: 'data-dfs'
    target: dataAccountId
    group: 'dfs'
    zone: dfsZone
  }
]
var dataZones = [
  postgresZone
  blobZone
  dfsZone
  queueZone
  tableZone
]
var endpoints = empty(vaultId) ? dataEndpoints : concat(dataEndpoints, [vaultEndpoint])
var zoneNames = empty(vaultId) ? dataZones : concat(dataZones, [vaultZone])

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for zone in zoneNames: {
    name: zone
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (zone, index) in zoneNames: {
    parent: zones[index]
    name: 'backtests-${environmentName}'
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: {
        id: networkId
      }
    }
  }
]

resource privateEndpoints 'Microsoft.Network/privateEndpoints@2025-05-01' = [
  for endpoint in endpoints: {
    name: 'pe-backtests-${environmentName}-${endpoint.name}'
    location: location
    tags: tags
    properties: {
      subnet: {
        id: subnetId
      }
      privateLinkServiceConnections: [
        {
          name: endpoint.name
          properties: {
            privateLinkServiceId: endpoint.target
            groupIds: [
              endpoint.group
            ]
          }
        }
      ]
    }
  }
]

resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = [
  for (endpoint, index) in endpoints: {
    parent: privateEndpoints[index]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        {
          name: endpoint.name
          properties: {
            privateDnsZoneId: resourceId('Microsoft.Network/privateDnsZones', endpoint.zone)
          }
        }
      ]
    }
    dependsOn: [
      zones
      links
    ]
  }
]
