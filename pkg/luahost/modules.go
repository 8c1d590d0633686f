package luahost

// Modules lists the modules that know no mail.
func Modules() []Module {
	return []Module{
		cidrModule, digestModule, domainMapModule, encodeModule, regexModule, regexSetMapModule, serdeModule, stringModule, uuidModule,
	}
}

// Types lists their types.
func Types() []*Type {
	return []*Type{&binaryType, &cidrMapType, &domainMapType, &regexType, &regexSetMapType, &uuidType}
}
