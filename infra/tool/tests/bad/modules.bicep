targetScope = 'subscription'

@secure()
param password string

module one 'part.bicep' = {
  params: {
    titel: 'a'
    size: 'huge'
    note: password
    count: 11
  }
}

module two 'prat.bicep' = {
  params: {}
}

module far 'br/public:avm/res/web/site:0.1.0' = {
  param: {}
}

output what string = one.outputs.titel
