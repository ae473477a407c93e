output "name" {
  description = "Name of the VM."
  value       = module.vm.name
}

output "zone" {
  description = "Zone of the VM."
  value       = module.vm.zone
}
