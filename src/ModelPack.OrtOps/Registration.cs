using System.Runtime.InteropServices;

namespace ModelPack.OrtOps;

/// <summary>Makes the operators known to ONNX Runtime.</summary>
public static unsafe class Registration
{
    /// <summary>Domain of the operators.</summary>
    public const string Domain = "ai.modelpack";

    private static readonly Lock Gate = new();

    private static nint s_domain;

    /// <summary>Adds the operators to the options of a session; operators and domain live as long as the process.</summary>
    /// <param name="apiBase">struct OrtApiBase, as <c>OrtGetApiBase</c> gives it.</param>
    /// <param name="sessionOptions">The options.</param>
    /// <returns>0, or an OrtStatus.</returns>
    public static nint Register(nint apiBase, nint sessionOptions)
    {
        // struct OrtApiBase { const OrtApi* (*GetApi)(uint32_t version); const char* (*GetVersionString)(); }
        void** table = ((delegate* unmanaged<uint, void**>)(*(void**)apiBase))(OrtApi.Version);
        if (table == null)
        {
            return 0; // Too old: the session itself will say that it does not know the operators.
        }

        lock (Gate)
        {
            OrtApi.Use(table);
            if (s_domain == 0)
            {
                nint domain;
                nint status = OrtApi.CreateDomain(Text(Domain), &domain);
                if (status != 0)
                {
                    return status;
                }

                CustomOp product = PackedMatMul.Describe(Text("PackedMatMul"));
                status = Add(domain, product);
                status = status != 0 ? status : Add(domain, PackedConv.Describe(Text("PackedConv"), product));
                status = status != 0 ? status : Add(domain, PackedGather.Describe(Text("PackedGather"), product));
                status = status != 0 ? status : Add(domain, GatedMlp.Describe(Text("GatedMlp")));
                status = status != 0 ? status : Add(domain, Experts.Describe(Text("Experts")));
                status = status != 0 ? status : Add(domain, ContextualMlp.Describe(Text("ContextualMlp")));
                if (status != 0)
                {
                    return status;
                }

                s_domain = domain;
            }

            return OrtApi.AddDomain(sessionOptions, s_domain);
        }
    }

    /// <summary>What ONNX Runtime calls in a shared library of custom operators.</summary>
    /// <param name="sessionOptions">The options.</param>
    /// <param name="apiBase">struct OrtApiBase.</param>
    [UnmanagedCallersOnly(EntryPoint = "RegisterCustomOps")]
    public static nint RegisterCustomOps(nint sessionOptions, nint apiBase) => Register(apiBase, sessionOptions);

    /// <summary>For hosts without .NET: frees what closed sessions left behind now instead of at some later time.</summary>
    [UnmanagedCallersOnly(EntryPoint = "modelpack_collect")]
    public static void Collect()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
    }

    private static nint Add(nint domain, in CustomOp described)
    {
        var op = (CustomOp*)NativeMemory.Alloc((nuint)sizeof(CustomOp));
        *op = described;
        return OrtApi.AddOp(domain, op);
    }

    private static byte* Text(string text) => (byte*)Marshal.StringToCoTaskMemUTF8(text);
}
