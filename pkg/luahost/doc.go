package luahost
