param location string

var rules = [
  {
    name: 'everyone'
    start: '0.0.0.0'
    end: '255.255.255.255'
  }
  {
    name: 'backwards'
    start: '10.0.0.9'
    end: '10.0.0.1'
  }
  {
    name: 'six'
    start: '10.0.0.1'
    end: '10.0.0.1.1'
  }
]

resource server 'Microsoft.DBforPostgreSQL/flexibleServers@2025-08-01' = {
  name: 'psql'
  location: location
  sku: {
    name: 'Standard_B1ms'
    tier: 'GeneralPurpose'
  }
}

resource unknown 'Microsoft.DBforPostgreSQL/flexibleServers@2025-08-01' = {
  name: 'psql2'
  location: location
  sku: {
    name: 'Standard_D2ds_v55'
    tier: 'GeneralPurpose'
  }
}

resource firewall 'Microsoft.DBforPostgreSQL/flexibleServers/firewallRules@2025-08-01' = [for rule in rules: {
  parent: server
  name: rule.name
  properties: {
    startIpAddress: rule.start
    endIpAddress: rule.end
  }
}]

resource setting 'Microsoft.DBforPostgreSQL/flexibleServers/configurations@2025-08-01' = {
  parent: unknown
  name: 'log_lock_wait'
  properties: {
    value: 'on'
  }
}

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: 'stdata'
  location: location
  kind: 'StorageV2'
  sku: {
    name: 'Standard_LRS'
  }
  properties: {
    allowSharedKeyAccess: true
    supportsHttpsTrafficOnly: false
  }
}

resource owner 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: account
  name: guid(account.id)
  properties: {
    principalId: 'x'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '8e3af657-a8ff-443c-a75c-2fe8c4bcb635')
  }
}
