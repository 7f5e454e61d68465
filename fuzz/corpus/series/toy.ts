# a comment
@problemName Toy
@classLabel true up down
@data
1,2,3:4,5,6:up
7,8:9,10:down
