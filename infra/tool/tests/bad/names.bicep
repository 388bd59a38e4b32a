param location string
param spare string = ''
var place = locaton
var size = lenght(place)
var list = [for item in [place]: itm]
var again = 1
var again = 2

output place string = place
output count int = size
output both array = list
output twice int = again
