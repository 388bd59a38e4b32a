// The function app: a custom handler on Flex Consumption, and every setting that the program reads.

param name string
param planName string
param location string
param tags object
param identityName string
param hostAccountName string
param packageContainer string
param runQueue string
param dataAccountName string
param artifactsContainer string
param lakeUrl string
param containerAllowlist array
param insightsConnectionString string

@description('Whether anything is kept in Postgres.')
param usesPostgres bool

param postgresHost string
param databaseName string

@description('Whether the app logs in with a password, out of the key vault, and not as its identity.')
param passwordAuth bool

@description('Reference to the connection string in the key vault.')
param dsnReference string

param runStoreMode string
param signalsWriteRequired bool
param signalsVerifyCounts bool
param signalSyncSchedule string
param reconcileSchedule string
param runTimeoutSeconds int
param leaseSeconds int
param maxAttempts int

@description('Requests that an instance answers at once; one more gets 429.')
param maxRequests int

@description('The one address that is told when a run has ended; empty tells nobody.')
param notifyUrl string

@description('Key Vault reference of the secret that signs what is told there.')
param notifyKeyReference string
param strategyWeights string
param rankingTopN int
param instanceMemoryMB int
param maximumInstanceCount int

@description('Empty without a private network.')
param subnetId string

param corsOrigins array

@description('Empty leaves function keys as the only check.')
param authClientId string

param publicNetworkAccess string

@description('Networks that may call; none admits all.')
param callerNetworks array

var blobEndpoint = 'https://${hostAccountName}.blob.${environment().suffixes.storage}'
var queueEndpoint = 'https://${hostAccountName}.queue.${environment().suffixes.storage}'
var tableEndpoint = 'https://${hostAccountName}.table.${environment().suffixes.storage}'

// With a token the connection string holds no secret; with a password only the vault has it.
var tokenDsn = 'postgres://${identityName}@${postgresHost}:5432/${databaseName}?sslmode=verify-full'

// The program takes 1 MiB and says so itself; what is far above it would only fill the memory of the host, which answers it
// with an empty 500.
var bodyBytesMax = 2 * 1024 * 1024 + 64 * 1024

// An empty setting counts as none.
var settings = {
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identity.properties.clientId
  AzureWebJobsStorage__blobServiceUri: blobEndpoint
  AzureWebJobsStorage__queueServiceUri: queueEndpoint
  AzureWebJobsStorage__tableServiceUri: tableEndpoint
  APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.properties.clientId};Authorization=AAD'
  AZURE_CLIENT_ID: identity.properties.clientId
  AZURE_STORAGE_ACCOUNT_NAME: dataAccountName
  BACKTEST_QUEUE: runQueue
  BACKTEST_RUN_STORE_MODE: runStoreMode
  BACKTEST_ADLS_RUNS_DIR: '${artifactsContainer}/results'
  BACKTEST_ADLS_CONTAINER_ALLOWLIST: join(containerAllowlist, ',')
  BACKTEST_LAKE: lakeUrl
  BACKTEST_LEASE_SECONDS: string(leaseSeconds)
  BACKTEST_MAX_ATTEMPTS: string(maxAttempts)
  BACKTEST_MAX_REQUESTS: string(maxRequests)
  BACKTEST_NOTIFY_SECRET: notifyKeyReference
  BACKTEST_NOTIFY_URL: notifyUrl
  BACKTEST_RUN_TIMEOUT_SECONDS: string(runTimeoutSeconds)
  BACKTEST_TRUST_PRINCIPAL_HEADER: empty(authClientId) ? 'false' : 'true'
  FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: string(bodyBytesMax)
  POSTGRES_DSN: usesPostgres ? (passwordAuth ? dsnReference : tokenDsn) : ''
  POSTGRES_AUTH: usesPostgres && !passwordAuth ? 'entra' : ''
  POSTGRES_SIGNALS_WRITE_REQUIRED: signalsWriteRequired ? 'true' : 'false'
  POSTGRES_SIGNALS_VERIFY_COUNTS: signalsVerifyCounts ? 'true' : 'false'
  RANKING_COMPOSITE_STRATEGY_WEIGHTS: strategyWeights
  RANKING_TOP_N: string(rankingTopN)
  RECONCILE_SCHEDULE: reconcileSchedule
  SIGNAL_SYNC_SCHEDULE: signalSyncSchedule
  RUST_LOG: 'info'
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: name
  location: location
  tags: union(tags, {
    'azd-service-name': 'backtests'
  })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identity.id
    publicNetworkAccess: publicNetworkAccess
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    outboundVnetRouting: {
      allTraffic: !empty(subnetId)
    }
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
      ipSecurityRestrictions: [
        for network in callerNetworks: {
          name: 'callers'
          action: 'Allow'
          priority: 100
          ipAddress: network
        }
      ]
      ipSecurityRestrictionsDefaultAction: empty(callerNetworks) ? 'Allow' : 'Deny'
      cors: {
        allowedOrigins: corsOrigins
      }
    }
    functionAppConfig: {
      runtime: {
        name: 'custom'
        version: '1.0'
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
      }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${blobEndpoint}/${packageContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identity.id
          }
        }
      }
    }
  }
}

resource appSettings 'Microsoft.Web/sites/config@2025-03-01' = {
  parent: app
  name: 'appsettings'
  properties: settings
}

// No user name and password for uploads: packages come with an Entra token.
resource ftpLogin 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource scmLogin 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

var identityProviders = {
  azureActiveDirectory: {
    enabled: true
    registration: {
      clientId: authClientId
      openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
    }
    validation: {
      allowedAudiences: [
        'api://${authClientId}'
      ]
    }
  }
}

// Always there, so that it also ends when nobody asks for it any more.
resource signIn 'Microsoft.Web/sites/config@2025-03-01' = {
  parent: app
  name: 'authsettingsV2'
  properties: {
    platform: {
      enabled: !empty(authClientId)
    }
    globalValidation: {
      requireAuthentication: !empty(authClientId)
      unauthenticatedClientAction: empty(authClientId) ? 'AllowAnonymous' : 'Return401'
      excludedPaths: [
        '/api/healthz'
        '/api/readyz'
      ]
    }
    identityProviders: empty(authClientId) ? {} : identityProviders
  }
}

output name string = app.name
output url string = 'https://${app.properties.defaultHostName}'
