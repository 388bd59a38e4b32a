param adminPassword string

@secure()
param other string = 'hunter2'

@description('A database.')
param databaseDsn string = ''

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: 'stdata'
}

output accountKey string = account.listKeys().keys[0].value
output dsn string = '${adminPassword}${databaseDsn}'
output shown string = 'user:${other}'
output length int = length(other)
