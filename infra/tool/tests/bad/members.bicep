@allowed([
  'dev'
  'ha'
])
param size string

var presets = {
  dev: {
    sku: 'Standard_B1ms'
  }
  ha: {
    skew: 'Standard_D2ds_v5'
  }
}
var list = [
  {
    key: 'a'
  }
]

output sku string = presets[size].sku
output keys array = [for item in list: item.keey]
output isHa bool = size == 'hа'
output name string = resourceGroup().nme
