@classlabel true 1 2
@data
1.5,-2:1
3,4e2:2
