// Once for a repository and environment, by somebody who owns the subscription: two identities that GitHub signs in
// as, without a secret. `plan` reads and asks what would change, and may start nothing; `prod` deploys. Each works only
// from the GitHub environment of its name.

targetScope = 'subscription'

@description('Owner and name, as in https://github.com/<owner>/<name>.')
param repository string

@description('Name of the environment, as main.bicep takes it.')
@minLength(2)
@maxLength(12)
param environmentName string

@description('Region of the resource group and the identities.')
param location string

@description('Who gets a mail when the costs of the subscription take an unusual turn; empty makes no alert.')
param anomalyEmail string = ''

@description('The day the alert begins; not to be set.')
param today string = utcNow('yyyy-MM-dd')

var subscriptionId = subscription().id

// A deployment at subscription scope is a resource of its own; what it contains is checked against the further roles.
resource deployments 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscriptionId, 'backtests-deployments')
  properties: {
    roleName: 'Backtests deployments'
    description: 'Start, validate and watch deployments at subscription scope.'
    type: 'CustomRole'
    assignableScopes: [
      subscriptionId
    ]
    permissions: [
      {
        actions: [
          'Microsoft.Resources/deployments/*'
          'Microsoft.Resources/subscriptions/resourceGroups/read'
        ]
      }
    ]
  }
}

// Enough with the validation level ProviderNoRbac, which only wants to read what the template names.
resource plans 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscriptionId, 'backtests-plans')
  properties: {
    roleName: 'Backtests plans'
    description: 'Validate deployments at subscription scope and ask what they would change.'
    type: 'CustomRole'
    assignableScopes: [
      subscriptionId
    ]
    permissions: [
      {
        actions: [
          'Microsoft.Resources/deployments/read'
          'Microsoft.Resources/deployments/validate/action'
          'Microsoft.Resources/deployments/whatIf/action'
          'Microsoft.Resources/deployments/operations/read'
          'Microsoft.Resources/deployments/operationstatuses/read'
          'Microsoft.Resources/subscriptions/operationresults/read'
          'Microsoft.Resources/subscriptions/resourceGroups/read'
        ]
      }
    ]
  }
}

resource locks 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscriptionId, 'backtests-locks')
  properties: {
    roleName: 'Backtests locks'
    description: 'Put locks on resources, but not take them away.'
    type: 'CustomRole'
    assignableScopes: [
      subscriptionId
    ]
    permissions: [
      {
        actions: [
          'Microsoft.Authorization/locks/read'
          'Microsoft.Authorization/locks/write'
        ]
      }
    ]
  }
}

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-backtests-${environmentName}'
  location: location
}

module identities 'identities.bicep' = {
  scope: group
  params: {
    repository: repository
    location: location
    locksRoleId: locks.id
  }
}

// Only whole subscriptions have it, and it ends after a year: deploy this file again.
resource anomalies 'Microsoft.CostManagement/scheduledActions@2025-03-01' = if (!empty(anomalyEmail)) {
  name: 'backtests-cost-anomalies'
  kind: 'InsightAlert'
  properties: {
    displayName: 'Unusual costs'
    status: 'Enabled'
    viewId: subscriptionResourceId('Microsoft.CostManagement/views', 'ms:DailyAnomalyByResourceGroup')
    notificationEmail: anomalyEmail
    notification: {
      to: [
        anomalyEmail
      ]
      subject: 'Unusual costs of an Azure subscription'
    }
    schedule: {
      frequency: 'Daily'
      startDate: '${today}T00:00:00Z'
      endDate: '${dateTimeAdd(today, 'P1Y', 'yyyy-MM-dd')}T00:00:00Z'
    }
  }
}

resource planPlans 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(subscriptionId, environmentName, 'plan', plans.id)
  properties: {
    principalId: identities.outputs.planObjectId
    principalType: 'ServicePrincipal'
    roleDefinitionId: plans.id
  }
}

resource prodDeployments 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(subscriptionId, environmentName, 'prod', deployments.id)
  properties: {
    principalId: identities.outputs.prodObjectId
    principalType: 'ServicePrincipal'
    roleDefinitionId: deployments.id
  }
}

output planClientId string = identities.outputs.planClientId
output prodClientId string = identities.outputs.prodClientId
output prodObjectId string = identities.outputs.prodObjectId
output prodName string = identities.outputs.prodName
