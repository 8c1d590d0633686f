package luahost

// Modules lists the modules that know no mail.
func Modules() []Module {
	return []Module{
		cidrModule, digestModule, domainMapModule, encodeModule, fsModule, mpscModule, regexModule, regexSetMapModule, serdeModule, stringModule, timeModule, uuidModule,
	}
}

// Types lists their types.
func Types() []*Type {
	return []*Type{&asyncFileType, &binaryType, &cidrMapType, &deltaType, &domainMapType, &mpscType, &regexType, &regexSetMapType, &timeType, &uuidType}
}
