using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.ML.OnnxRuntime;
using ModelPack.Runtime.Loading;

namespace ModelPack.Runtime.Native;

/// <summary>
/// The few functions of ONNX Runtime's C interface that its managed package does not expose. The function table is append-only, so an
/// index, once published, holds for every later version; a test compares the indexes with the managed package's own table.
/// </summary>
internal static unsafe partial class OrtTable
{
    /// <summary>Version of the table that is asked for: the first (ONNX Runtime 1.18) that holds every function below.</summary>
    internal const uint Version = 18;

    // Positions in struct OrtApi.
    internal const int GetErrorMessageIndex = 2;
    internal const int ReleaseStatusIndex = 93;
    internal const int AddExternalInitializersFromFilesInMemoryIndex = 279;

    private static readonly Lazy<nint> TableAddress = new(FindTable);

    private static void** Table => (void**)TableAddress.Value;

    /// <summary>
    /// Makes external data found in memory: an initializer whose external location is that of one of <paramref name="weights"/> takes its bytes from
    /// the buffer of that. ONNX Runtime copies what it needs while the session is created; the buffers may be freed afterwards.
    /// </summary>
    /// <param name="options">Options of the session to be created.</param>
    /// <param name="weights">The weights.</param>
    internal static void AddExternalFilesInMemory(SessionOptions options, ImmutableArray<LoadedWeight> weights)
    {
        if (weights.IsEmpty)
        {
            return;
        }

        nint[] nativeNames = new nint[weights.Length];
        nint[] buffers = new nint[weights.Length];
        nuint[] lengthsBytes = new nuint[weights.Length];
        bool added = false;
        try
        {
            for (int i = 0; i < nativeNames.Length; i++)
            {
                // ORTCHAR_T: the character type of paths.
                nativeNames[i] = OperatingSystem.IsWindows() ? Marshal.StringToCoTaskMemUni(weights[i].Location) : Marshal.StringToCoTaskMemUTF8(weights[i].Location);
                buffers[i] = weights[i].Buffer.Address;
                lengthsBytes[i] = (nuint)weights[i].Buffer.LengthBytes;
            }

            options.DangerousAddRef(ref added);
            fixed (nint* n = nativeNames, b = buffers)
            fixed (nuint* l = lengthsBytes)
            {
                var add = (delegate* unmanaged[Stdcall]<nint, nint*, nint*, nuint*, nuint, nint>)Table[AddExternalInitializersFromFilesInMemoryIndex];
                Check(add(options.DangerousGetHandle(), n, b, l, (nuint)nativeNames.Length));
            }
        }
        finally
        {
            if (added)
            {
                options.DangerousRelease();
            }

            foreach (nint name in nativeNames)
            {
                Marshal.FreeCoTaskMem(name);
            }
        }
    }

    /// <summary>Makes the operators on packed weights known to a session to be created.</summary>
    internal static void AddOperators(SessionOptions options)
    {
        OrtEnv.Instance();
        bool added = false;
        try
        {
            options.DangerousAddRef(ref added);
            _ = Table;
            Check(OrtOps.Registration.Register((nint)OrtGetApiBase(), options.DangerousGetHandle()));
        }
        finally
        {
            if (added)
            {
                options.DangerousRelease();
            }
        }
    }

    private static void Check(nint status)
    {
        if (status == 0)
        {
            return;
        }

        byte* text = ((delegate* unmanaged[Stdcall]<nint, byte*>)Table[GetErrorMessageIndex])(status);
        string message = Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(text));
        ((delegate* unmanaged[Stdcall]<nint, void>)Table[ReleaseStatusIndex])(status);
        throw new ModelPackException(ErrorCodes.SessionNotCreated, $"ONNX Runtime: {message}");
    }

    private static nint FindTable()
    {
        // The managed package finds and loads the native library; afterwards the name below resolves to the same copy.
        OrtEnv.Instance();

        // struct OrtApiBase { const OrtApi* (*GetApi)(uint32_t version); const char* (*GetVersionString)(); }
        void** apiBase = OrtGetApiBase();
        nint table = ((delegate* unmanaged[Stdcall]<uint, nint>)apiBase[0])(Version);
        return table != 0
            ? table
            : throw new ModelPackException(ErrorCodes.SessionNotCreated, $"the installed ONNX Runtime lacks version {Version} of its C interface");
    }

    [LibraryImport("onnxruntime")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.AssemblyDirectory | DllImportSearchPath.SafeDirectories)]
    [UnmanagedCallConv(CallConvs = [typeof(System.Runtime.CompilerServices.CallConvStdcall)])]
    private static partial void** OrtGetApiBase();
}
