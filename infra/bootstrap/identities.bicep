// The two identities of github-oidc.bicep and what they may do inside the resource group.

param repository string
param location string
param locksRoleId string

var roleIds = {
  reader: 'acdd72a7-3385-48ef-bd42-f606fba81ae7'
  contributor: 'b24988ac-6180-42a0-ab88-20f7382dd24c'
  rbacAdministrator: 'f58310d9-a9f6-439a-9e8d-f62e7b41a168'
  vaultWriter: 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'
}

// The roles that rbac.bicep hands out: the deploying identity may assign and remove these and no others.
var assignableRoles = [
  'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  'db58b8e5-c6ad-4a2a-8342-4190687cbf4a'
  '19e7f393-937e-4f77-808e-94535e297925'
  '8a0f0c08-91a1-4084-bc3d-661d67233fed'
  'c6a89b2d-59bc-44d0-9896-0f6e12d7b80a'
  '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
  '3913510d-42f4-4e42-8a64-420c390055eb'
  '4633458b-17de-408a-b874-0445c86b69e6'
]
var assignable = join(assignableRoles, ', ')
var mayAssign = '((!(ActionMatches{\'Microsoft.Authorization/roleAssignments/write\'})) OR (@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {${assignable}}))'
var mayRemove = '((!(ActionMatches{\'Microsoft.Authorization/roleAssignments/delete\'})) OR (@Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {${assignable}}))'

resource plan 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-backtests-github-plan'
  location: location
}

resource planCredential 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2024-11-30' = {
  parent: plan
  name: 'github'
  properties: {
    issuer: 'https://token.actions.githubusercontent.com'
    subject: 'repo:${repository}:environment:plan'
    audiences: [
      'api://AzureADTokenExchange'
    ]
  }
}

resource prod 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-backtests-github-prod'
  location: location
}

resource prodCredential 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2024-11-30' = {
  parent: prod
  name: 'github'
  properties: {
    issuer: 'https://token.actions.githubusercontent.com'
    subject: 'repo:${repository}:environment:prod'
    audiences: [
      'api://AzureADTokenExchange'
    ]
  }
}

resource planReads 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(resourceGroup().id, plan.id, roleIds.reader)
  properties: {
    principalId: plan.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.reader)
  }
}

resource prodDeploys 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(resourceGroup().id, prod.id, roleIds.contributor)
  properties: {
    principalId: prod.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.contributor)
  }
}

resource prodAssigns 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(resourceGroup().id, prod.id, roleIds.rbacAdministrator)
  properties: {
    principalId: prod.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.rbacAdministrator)
    condition: '${mayAssign} AND ${mayRemove}'
    conditionVersion: '2.0'
  }
}

resource prodLocks 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(resourceGroup().id, prod.id, locksRoleId)
  properties: {
    principalId: prod.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: locksRoleId
  }
}

// Writes the connection string in password mode.
resource prodWritesVault 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(resourceGroup().id, prod.id, roleIds.vaultWriter)
  properties: {
    principalId: prod.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.vaultWriter)
  }
}

output planClientId string = plan.properties.clientId
output planObjectId string = plan.properties.principalId
output prodClientId string = prod.properties.clientId
output prodObjectId string = prod.properties.principalId
output prodName string = prod.name
