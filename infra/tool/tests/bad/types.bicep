param location string
param days int = 'seven'

resource server 'Microsoft.DBforPostgreSQL/flexibleServers@2025-08-01' = {
  name: 'psql'
  location: location
  sku: {
    name: 'Standard_B1ms'
    teir: 'Burstable'
  }
  properties: {
    fullyQualifiedDomainName: 'psql.example'
    version: '9'
    storage: {
      storageSizeGB: '32'
      autoGrow: 'On'
    }
    backup: {
      backupRetentionDays: days
      geoRedundantBackup: true
    }
    highAvailability: 'Disabled'
    network: [
      'public'
    ]
  }
}

output host string = server.properties.fullyQualifiedDomianName
