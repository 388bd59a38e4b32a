// A team's environment: a general purpose server, everything reached through private endpoints.
// A variable of the environment (or of azd) wins over the value here; a flag of `cargo infra provision` wins over both.

using './main.bicep'

var administratorId = readEnvironmentVariable('POSTGRES_ADMIN_OBJECT_ID', '')

param size = 'team'
param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'team')
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param network = readEnvironmentVariable('BACKTEST_NETWORK', 'private')

param postgresLocation = readEnvironmentVariable(
  'POSTGRES_LOCATION',
  readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
)
param postgresServerName = readEnvironmentVariable('POSTGRES_SERVER', '')
param postgresSku = readEnvironmentVariable('POSTGRES_SKU', '')
param postgresTier = readEnvironmentVariable('POSTGRES_TIER', '')
param postgresStorageGB = int(readEnvironmentVariable('POSTGRES_STORAGE_GB', '0'))
param postgresStorageFoundGB = int(readEnvironmentVariable('POSTGRES_STORAGE_FOUND_GB', '0'))
param postgresVersion = readEnvironmentVariable('POSTGRES_VERSION', '17')
param databaseName = readEnvironmentVariable('POSTGRES_DATABASE', 'backtests')
param passwordAuth = bool(readEnvironmentVariable('POSTGRES_PASSWORD_AUTH', 'false'))
param administratorPassword = readEnvironmentVariable('POSTGRES_ADMIN_PASSWORD', '')
param postgresAdministrators = empty(administratorId)
  ? []
  : [
      {
        objectId: administratorId
        name: readEnvironmentVariable('POSTGRES_ADMIN_NAME', '')
        type: readEnvironmentVariable('POSTGRES_ADMIN_TYPE', 'User')
      }
    ]

// Objects with name, startIpAddress and endIpAddress.
param firewallRules = json(readEnvironmentVariable('POSTGRES_FIREWALL_RULES', '[]'))
param allowAzureServices = bool(readEnvironmentVariable('POSTGRES_ALLOW_AZURE_SERVICES', 'false'))

param runStoreMode = readEnvironmentVariable('BACKTEST_RUN_STORE_MODE', 'postgres')
param postgresSignals = bool(readEnvironmentVariable('POSTGRES_SIGNALS', 'true'))
param signalsWriteRequired = bool(readEnvironmentVariable('POSTGRES_SIGNALS_WRITE_REQUIRED', 'true'))
param signalsVerifyCounts = bool(readEnvironmentVariable('POSTGRES_SIGNALS_VERIFY_COUNTS', 'false'))
param lakeAccountName = readEnvironmentVariable('BACKTEST_LAKE_ACCOUNT', '')
param lakeResourceGroup = readEnvironmentVariable('BACKTEST_LAKE_RESOURCE_GROUP', '')
param lakeContainer = readEnvironmentVariable('BACKTEST_LAKE_CONTAINER', 'lake')
param authClientId = readEnvironmentVariable('BACKTEST_AUTH_CLIENT_ID', '')

param alertEmail = readEnvironmentVariable('BACKTEST_ALERT_EMAIL', '')
param monthlyBudget = int(readEnvironmentVariable('BACKTEST_MONTHLY_BUDGET', '0'))
param budgetStart = readEnvironmentVariable('BACKTEST_BUDGET_START', '')
