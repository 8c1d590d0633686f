package torture
import ("testing";"os";"fmt")
func TestDebug(t *testing.T){
 if os.Getenv("DBG")=="" {return}
 var k *kind
 all:=kinds()
 for i:=range all { if all[i].name==os.Getenv("DBG") {k=&all[i]} }
 var n int; var seed uint64
 fmt.Sscan(os.Getenv("DBGN"),&seed,&n)
 p:=newPoint(seed,n,k)
 bubble(p.run)
 for _,w:=range p.wrong { t.Log(w) }
 for _,name:=range p.m.names { t.Logf("%s %+v", name, *p.m.orders[name]) }
 tr:=p.disk.Trace(); t.Log(len(tr))
}
