// Every option on: for its snapshot, so that a mistake in a part that the sizes leave off is seen too. Never deployed.
// The network is private, because then the key vault has an endpoint; dev shows firewall rules.

using './main.bicep'

param size = 'ha'
param environmentName = 'every'
param location = 'westeurope'
param tags = {
  team: 'research'
}

param postgresLocation = 'northeurope'
param postgresServerName = 'psql-every'
param postgresSku = 'Standard_E2ds_v5'
param postgresTier = 'MemoryOptimized'
param postgresStorageGB = 512
param postgresStorageFoundGB = 1024
param postgresVersion = '16'
param databaseName = 'research'
param geoRedundantBackup = true
param postgresAdministrators = [
  {
    objectId: '33333333-3333-4333-8333-333333333333'
    name: 'research'
    type: 'Group'
  }
]
param passwordAuth = true
param administratorLogin = 'administrator_of_every'
param administratorPassword = 'not a password'

param network = 'private'
param firewallRules = []
param allowAzureServices = false

param runStoreMode = 'adls'
param postgresSignals = true
param signalsWriteRequired = false
param signalsVerifyCounts = true
param signalSyncSchedule = '0 */30 * * * *'
param reconcileSchedule = '0 */10 * * * *'
param runTimeoutSeconds = 1680
param leaseSeconds = 90
param maxAttempts = 5
param maxRequests = 32
param notifyUrl = 'https://hooks.research.example/backtests'
param notifyKeyReference = '@Microsoft.KeyVault(SecretUri=https://kv-research.vault.azure.net/secrets/notify)'
param strategyWeights = '{"momentum": 1}'
param rankingTopN = 100
param lakeAccountName = 'stresearchlake'
param lakeResourceGroup = 'rg-research'
param lakeContainer = 'research'
param containerAllowlist = [
  'prices'
]
param corsOrigins = [
  'https://research.example'
]
param callerNetworks = [
  '192.0.2.0/24'
]
param appPublicNetworkAccess = 'Disabled'
param authClientId = '44444444-4444-4444-8444-444444444444'

param alertEmail = 'team@research.example'
param monthlyBudget = 500
param budgetStart = '2026-01-01'
param deleteLock = true
