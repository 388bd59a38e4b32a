// One environment of Backtest Functions: a resource group with everything in it, Postgres first.
// Parameters come from dev.bicepparam, team.bicepparam or ha.bicepparam; README.md lists them.

targetScope = 'subscription'

metadata description = 'Backtest Functions: Postgres, storage, a function app on Flex Consumption, monitoring.'

// --- what and where ---------------------------------------------------------------------------------------------

@description('Name of the environment; part of every resource name.')
@minLength(2)
@maxLength(12)
param environmentName string

@description('Region of everything except the database server.')
param location string

@description('Region of the database server, which may be restricted where the rest is not. It cannot change later.')
param postgresLocation string = location

@description('Preset of sizes: dev (smallest), team (general purpose), ha (zone redundant).')
@allowed([
  'dev'
  'team'
  'ha'
])
param size string = 'dev'

@description('Tags of every resource.')
param tags object = {}

// --- database ---------------------------------------------------------------------------------------------------

@description('Name of the database server; empty derives one.')
param postgresServerName string = ''

@description('Compute of the server, for example Standard_D2ds_v5; empty takes the preset. Its tier must fit.')
param postgresSku string = ''

@description('Tier of postgresSku; empty takes the preset.')
@allowed([
  ''
  'Burstable'
  'GeneralPurpose'
  'MemoryOptimized'
])
param postgresTier string = ''

@description('Storage in GiB: 32, 64, 128 and so on to 16384; 0 takes the preset. It can grow, never shrink.')
@minValue(0)
@maxValue(16384)
param postgresStorageGB int = 0

@description('Storage in GiB that the server has by now, because it grows by itself. cargo infra provision finds it out.')
param postgresStorageFoundGB int = 0

@description('Major version of Postgres. It can rise, never fall.')
@allowed([
  '15'
  '16'
  '17'
  '18'
])
param postgresVersion string = '17'

@description('Name of the database.')
param databaseName string = 'backtests'

@description('Keep backups in the paired region too. Only possible when the server is made, and only in paired regions.')
param geoRedundantBackup bool = false

@description('Microsoft Entra administrators of the server: objects with objectId, name and type (User, Group, ServicePrincipal).')
param postgresAdministrators array = []

@description('Also allow logins with passwords. Makes a key vault for the connection string.')
param passwordAuth bool = false

@description('Login of the server administrator; only with passwordAuth.')
param administratorLogin string = 'backtests_admin'

@description('Password of the server administrator; only with passwordAuth.')
@secure()
param administratorPassword string = ''

// --- network ----------------------------------------------------------------------------------------------------

@description('public: reached over its public address through the firewall. private: through private endpoints only.')
@allowed([
  'public'
  'private'
])
param network string = 'public'

@description('Firewall rules of the server: objects with name, startIpAddress and endIpAddress (IPv4).')
param firewallRules array = []

@description('Admit every address inside Azure, those of other customers too. A function app without a private network needs it to reach the server; logins still need a token or password.')
param allowAzureServices bool = false

// --- the service ------------------------------------------------------------------------------------------------

@description('Where run records live. postgres is the normal case; adls keeps them as documents and is the way back.')
@allowed([
  'postgres'
  'adls'
])
param runStoreMode string = 'postgres'

@description('Dual-write signals to Postgres. Off unsets POSTGRES_DSN, so it takes runStoreMode adls: runs in postgres need it, and then signals go there too.')
param postgresSignals bool = true

@description('A failed Postgres write of signals fails the invocation.')
param signalsWriteRequired bool = true

@description('Count rows after every write of signals.')
param signalsVerifyCounts bool = false

@description('NCRONTAB schedule of the signal sync.')
param signalSyncSchedule string = '0 */15 * * * *'

@description('NCRONTAB schedule of the repair of overdue runs. Every tick costs an execution of at least a second.')
param reconcileSchedule string = '0 */5 * * * *'

@description('Wall time of one run, in seconds. Must stay minutes below functionTimeout of host.json.')
@minValue(60)
@maxValue(1680)
param runTimeoutSeconds int = 1500

@description('Length of a lease, in seconds.')
@minValue(10)
@maxValue(600)
param leaseSeconds int = 60

@description('Claims of a run before it fails.')
@minValue(1)
@maxValue(20)
param maxAttempts int = 3

@description('Requests that an instance answers at once; one more gets 429.')
@minValue(1)
@maxValue(10000)
param maxRequests int = 64

@description('The one address that is told when a run has ended, best as a Key Vault reference (@Microsoft.KeyVault(SecretUri=…)); empty tells nobody.')
param notifyUrl string = ''

@description('Key Vault reference of the secret that signs what is told there. The identity of the app must be allowed to read it.')
param notifyKeyReference string = ''

@description('JSON object of strategy to weight; empty weighs all strategies alike.')
param strategyWeights string = ''

@description('Rank that counts as a hit.')
@minValue(1)
param rankingTopN int = 50

@description('Storage account of an existing lake; empty makes a container of our own.')
param lakeAccountName string = ''

@description('Resource group of the existing lake, in this subscription.')
param lakeResourceGroup string = ''

@description('Container of the lake.')
param lakeContainer string = 'lake'

@description('Further containers that a submitted config may read.')
param containerAllowlist array = []

@description('Origins that browsers may call from.')
param corsOrigins array = []

@description('Networks such as 192.0.2.0/24 that may call the app; none admits all. The runner that deploys is one of them.')
param callerNetworks array = []

@description('Disabled leaves the app to a private endpoint of your own, which the runner that deploys must reach too.')
@allowed([
  'Enabled'
  'Disabled'
])
param appPublicNetworkAccess string = 'Enabled'

@description('Client id of the Entra application that callers sign in to; empty leaves function keys as the only check.')
param authClientId string = ''

// --- operations -------------------------------------------------------------------------------------------------

@description('Address of alerts and of the budget; empty makes neither.')
param alertEmail string = ''

@description('Monthly budget in the currency of the subscription; 0 makes none.')
@minValue(0)
param monthlyBudget int = 0

@description('First day of the month in which the budget began; it cannot change. Empty for a new one. cargo infra provision finds it out.')
param budgetStart string = ''

@description('Start of a new budget; not to be set.')
param thisMonth string = utcNow('yyyy-MM-01')

@description('Protect database and storage from deletion.')
param deleteLock bool = size == 'ha'

// --- presets ----------------------------------------------------------------------------------------------------

var presets = {
  dev: {
    sku: 'Standard_B1ms'
    tier: 'Burstable'
    storageGB: 32
    backupDays: 7
    highAvailability: 'Disabled'
    storageSku: 'Standard_LRS'
    instanceMemoryMB: 2048
    maximumInstanceCount: 40
    logDays: 30
    dailyLogGB: 1
  }
  team: {
    sku: 'Standard_D2ds_v5'
    tier: 'GeneralPurpose'
    storageGB: 128
    backupDays: 35
    highAvailability: 'Disabled'
    storageSku: 'Standard_ZRS'
    instanceMemoryMB: 2048
    maximumInstanceCount: 40
    logDays: 60
    dailyLogGB: 2
  }
  ha: {
    sku: 'Standard_D4ds_v5'
    tier: 'GeneralPurpose'
    storageGB: 256
    backupDays: 35
    highAvailability: 'ZoneRedundant'
    storageSku: 'Standard_ZRS'
    instanceMemoryMB: 4096
    maximumInstanceCount: 100
    logDays: 90
    dailyLogGB: 5
  }
}

var preset = presets[size]
var suffix = uniqueString(subscription().id, environmentName, location)
var serverSuffix = uniqueString(subscription().id, environmentName)
var ownTags = {
  application: 'backtest-functions'
  environment: environmentName
  'azd-env-name': environmentName
}
var allTags = union(ownTags, tags)
var isPrivate = network == 'private'
var ownLake = empty(lakeAccountName)
var lakeAccount = ownLake ? dataAccountName : lakeAccountName
// A list of allowed values would refuse every parameter file: what they read from a variable is any number to the compiler.
// A size that is not here is refused by its name, before anything is deployed.
var postgresStorageSizes = {
  '0': preset.storageGB
  '32': 32
  '64': 64
  '128': 128
  '256': 256
  '512': 512
  '1024': 1024
  '2048': 2048
  '4096': 4096
  '8192': 8192
  '16384': 16384
}
var storageGB = postgresStorageSizes[string(postgresStorageGB)]

// Names that several modules use are made here and not given on by the module that makes the resource: so a plan and a
// snapshot can tell them before anything exists.
var identityName = 'id-backtests-${environmentName}'
var insightsName = 'appi-backtests-${environmentName}'
var hostAccountName = take('sthost${toLower(replace(environmentName, '-', ''))}${suffix}', 24)
var dataAccountName = take('stdata${toLower(replace(environmentName, '-', ''))}${suffix}', 24)
var vaultName = take('kv-${environmentName}-${suffix}', 24)
var artifactsContainer = 'artifacts'
var packageContainer = 'releases'
var ownContainers = [
  artifactsContainer
  lakeContainer
]
var runQueue = 'backtest-runs'
var ownServerName = toLower('psql-backtests-${environmentName}-${serverSuffix}')
var serverName = empty(postgresServerName) ? ownServerName : postgresServerName
var workspaceName = 'log-backtests-${environmentName}'
var hasBudget = monthlyBudget > 0 && !empty(alertEmail)
var budgetBegins = empty(budgetStart) ? thisMonth : budgetStart
var usesPostgres = runStoreMode == 'postgres' || postgresSignals

// --- resources --------------------------------------------------------------------------------------------------

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-backtests-${environmentName}'
  location: location
  tags: allTags
}

module identity 'modules/identity.bicep' = {
  scope: group
  params: {
    name: identityName
    location: location
    tags: allTags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  scope: group
  params: {
    workspaceName: workspaceName
    insightsName: insightsName
    location: location
    tags: allTags
    retentionDays: preset.logDays
    dailyCapGB: preset.dailyLogGB
  }
}

module virtualNetwork 'modules/network.bicep' = if (isPrivate) {
  scope: group
  params: {
    name: 'vnet-backtests-${environmentName}'
    location: location
    tags: allTags
  }
}

// Parameters without outputs of other modules: only so can a plan look inside.
module postgres 'modules/postgres.bicep' = {
  scope: group
  params: {
    name: serverName
    location: postgresLocation
    tags: allTags
    skuName: empty(postgresSku) ? preset.sku : postgresSku
    tier: empty(postgresTier) ? preset.tier : postgresTier
    storageSizeGB: max(storageGB, postgresStorageFoundGB)
    version: postgresVersion
    databaseName: databaseName
    backupRetentionDays: preset.backupDays
    geoRedundantBackup: geoRedundantBackup
    highAvailability: preset.highAvailability
    passwordAuth: passwordAuth
    administratorLogin: administratorLogin
    administratorPassword: administratorPassword
    administrators: postgresAdministrators
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    firewallRules: isPrivate ? [] : firewallRules
    allowAzureServices: allowAzureServices && !isPrivate
    workspaceName: workspaceName
    deleteLock: deleteLock
  }
  dependsOn: [
    monitoring
  ]
}

module storage 'modules/storage.bicep' = {
  scope: group
  params: {
    hostAccountName: hostAccountName
    dataAccountName: dataAccountName
    artifactsContainer: artifactsContainer
    packageContainer: packageContainer
    runQueue: runQueue
    location: location
    tags: allTags
    skuName: preset.storageSku
    lakeContainer: lakeContainer
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    deleteLock: deleteLock
  }
}

module keyVault 'modules/keyvault.bicep' = if (passwordAuth) {
  scope: group
  params: {
    name: vaultName
    location: location
    tags: allTags
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    workspaceName: workspaceName
  }
  dependsOn: [
    monitoring
  ]
}

module privateEndpoints 'modules/endpoints.bicep' = if (isPrivate) {
  scope: group
  params: {
    environmentName: environmentName
    location: location
    tags: allTags
    networkId: isPrivate ? virtualNetwork!.outputs.networkId : ''
    subnetId: isPrivate ? virtualNetwork!.outputs.endpointSubnetId : ''
    postgresId: postgres.outputs.serverId
    hostAccountId: storage.outputs.hostAccountId
    dataAccountId: storage.outputs.dataAccountId
    vaultId: passwordAuth ? keyVault!.outputs.vaultId : ''
  }
}

module roles 'modules/rbac.bicep' = {
  scope: group
  params: {
    principalId: identity.outputs.principalId
    hostAccountName: hostAccountName
    dataAccountName: dataAccountName
    artifactsContainer: artifactsContainer
    lakeContainer: ownLake ? lakeContainer : ''
    runQueue: runQueue
    insightsName: insightsName
    vaultName: passwordAuth ? vaultName : ''
  }
  dependsOn: [
    monitoring
    storage
    keyVault
  ]
}

module lakeRole 'modules/lake-role.bicep' = if (!ownLake) {
  scope: resourceGroup(empty(lakeResourceGroup) ? group.name : lakeResourceGroup)
  params: {
    principalId: identity.outputs.principalId
    accountName: lakeAccountName
    containerName: lakeContainer
  }
}

module functionApp 'modules/functions.bicep' = {
  scope: group
  params: {
    name: 'func-backtests-${environmentName}-${suffix}'
    planName: 'plan-backtests-${environmentName}'
    location: location
    tags: allTags
    identityName: identityName
    hostAccountName: hostAccountName
    packageContainer: packageContainer
    runQueue: runQueue
    dataAccountName: dataAccountName
    artifactsContainer: artifactsContainer
    lakeUrl: 'abfss://${lakeContainer}@${lakeAccount}.dfs.${environment().suffixes.storage}'
    containerAllowlist: union(ownContainers, containerAllowlist)
    insightsConnectionString: monitoring.outputs.insightsConnectionString
    usesPostgres: usesPostgres
    postgresHost: postgres.outputs.host
    databaseName: databaseName
    passwordAuth: passwordAuth
    dsnReference: passwordAuth ? keyVault!.outputs.dsnReference : ''
    runStoreMode: runStoreMode
    signalsWriteRequired: signalsWriteRequired
    signalsVerifyCounts: signalsVerifyCounts
    signalSyncSchedule: signalSyncSchedule
    reconcileSchedule: reconcileSchedule
    runTimeoutSeconds: runTimeoutSeconds
    leaseSeconds: leaseSeconds
    maxAttempts: maxAttempts
    maxRequests: maxRequests
    notifyUrl: notifyUrl
    notifyKeyReference: notifyKeyReference
    strategyWeights: strategyWeights
    rankingTopN: rankingTopN
    instanceMemoryMB: preset.instanceMemoryMB
    maximumInstanceCount: preset.maximumInstanceCount
    subnetId: isPrivate ? virtualNetwork!.outputs.appSubnetId : ''
    corsOrigins: corsOrigins
    authClientId: authClientId
    publicNetworkAccess: appPublicNetworkAccess
    callerNetworks: callerNetworks
  }
  dependsOn: [
    roles
    lakeRole
    privateEndpoints
  ]
}

module alerts 'modules/alerts.bicep' = if (!empty(alertEmail)) {
  scope: group
  params: {
    environmentName: environmentName
    location: location
    tags: allTags
    email: alertEmail
    postgresId: postgres.outputs.serverId
    insightsId: monitoring.outputs.insightsId
    hostAccountId: storage.outputs.hostAccountId
  }
}

module budget 'modules/budget.bicep' = if (hasBudget) {
  scope: group
  params: {
    name: 'budget-backtests-${environmentName}'
    amount: monthlyBudget
    startDate: budgetBegins
    email: alertEmail
  }
}

// --- for the steps after this one; nothing here is secret -------------------------------------------------------

output AZURE_RESOURCE_GROUP string = group.name
output BACKTEST_APP_NAME string = functionApp.outputs.name
output BACKTEST_APP_URL string = functionApp.outputs.url
output BACKTEST_IDENTITY_NAME string = identityName
output BACKTEST_IDENTITY_OBJECT_ID string = identity.outputs.principalId
output BACKTEST_KEY_VAULT string = passwordAuth ? vaultName : ''
output BACKTEST_BUDGET_START string = hasBudget ? budgetBegins : ''
output POSTGRES_SERVER string = serverName
output POSTGRES_HOST string = postgres.outputs.host
output POSTGRES_DATABASE string = databaseName
output POSTGRES_ADMIN_LOGIN string = passwordAuth ? administratorLogin : ''
output POSTGRES_LOCATION string = postgresLocation
