import Hummingbird
print(1)
