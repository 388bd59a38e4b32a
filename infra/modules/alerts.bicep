// What somebody should get up for.

param environmentName string
param location string
param tags object
param email string
param postgresId string
param insightsId string

@description('Account of the run queues.')
param hostAccountId string

@description('Share of the server storage, in percent. At 95 the server becomes read-only.')
param storagePercent int = 80

var metrics = [
  {
    name: 'storage'
    metric: 'storage_percent'
    operator: 'GreaterThan'
    threshold: storagePercent
    aggregation: 'Average'
    severity: 1
  }
  {
    name: 'cpu'
    metric: 'cpu_percent'
    operator: 'GreaterThan'
    threshold: 90
    aggregation: 'Average'
    severity: 2
  }
  {
    name: 'connections-failed'
    metric: 'connections_failed'
    operator: 'GreaterThan'
    threshold: 20
    aggregation: 'Total'
    severity: 2
  }
  {
    name: 'down'
    metric: 'is_db_alive'
    operator: 'LessThan'
    threshold: 1
    aggregation: 'Maximum'
    severity: 0
  }
]

var queries = [
  {
    name: 'poison'
    description: 'A run message was given up.'
    query: 'requests | where name == "execute_poison"'
    severity: 1
  }
  {
    name: 'sync-failed'
    description: 'The signal sync failed.'
    query: 'requests | where name == "sync_signals" and success == false'
    severity: 2
  }
  {
    name: 'server-errors'
    description: 'The service answered with 5xx.'
    query: 'requests | where toint(resultCode) >= 500'
    severity: 2
  }
]

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-backtests-${environmentName}'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'backtests'
    emailReceivers: [
      {
        name: 'team'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource metricAlerts 'Microsoft.Insights/metricAlerts@2026-01-01' = [
  for alert in metrics: {
    name: 'alert-backtests-${environmentName}-postgres-${alert.name}'
    location: 'global'
    tags: tags
    properties: {
      description: 'Postgres: ${alert.metric}'
      enabled: true
      severity: alert.severity
      scopes: [
        postgresId
      ]
      evaluationFrequency: 'PT5M'
      windowSize: 'PT15M'
      autoMitigate: true
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            criterionType: 'StaticThresholdCriterion'
            name: alert.name
            metricName: alert.metric
            metricNamespace: 'Microsoft.DBforPostgreSQL/flexibleServers'
            operator: alert.operator
            threshold: alert.threshold
            timeAggregation: alert.aggregation
          }
        ]
      }
      actions: [
        {
          actionGroupId: people.id
        }
      ]
    }
  }
]

// The platform counts the messages of all queues of the account, once an hour; there are the run queue and its poison queue.
// A message that cannot be read stays in the poison queue, and no function is called for it.
resource queueAlert 'Microsoft.Insights/metricAlerts@2026-01-01' = {
  name: 'alert-backtests-${environmentName}-queue-waits'
  location: 'global'
  tags: tags
  properties: {
    description: 'Messages lie in the run queue or its poison queue for half a day.'
    enabled: true
    severity: 1
    scopes: [
      '${hostAccountId}/queueServices/default'
    ]
    evaluationFrequency: 'PT1H'
    windowSize: 'PT12H'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'messages'
          metricName: 'QueueMessageCount'
          metricNamespace: 'Microsoft.Storage/storageAccounts/queueServices'
          operator: 'GreaterThanOrEqual'
          threshold: 1
          timeAggregation: 'Average'
        }
      ]
    }
    actions: [
      {
        actionGroupId: people.id
      }
    ]
  }
}

resource queryAlerts 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for alert in queries: {
    name: 'alert-backtests-${environmentName}-${alert.name}'
    location: location
    tags: tags
    properties: {
      displayName: 'Backtests ${environmentName}: ${alert.name}'
      description: alert.description
      enabled: true
      severity: alert.severity
      scopes: [
        insightsId
      ]
      evaluationFrequency: 'PT15M'
      windowSize: 'PT15M'
      autoMitigate: true
      criteria: {
        allOf: [
          {
            query: alert.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
          }
        ]
      }
      actions: {
        actionGroups: [
          people.id
        ]
      }
    }
  }
]
